"""Measures the share of the measuring time that is spent calling modules.

    python benchmarks/calling_share.py [SUITE]

Runs the suite (default: ge_extents). The share is the time in timed blocks and untimed first calls,
over the wall time from the end of inspection to the end of measuring.
"""

from __future__ import annotations

import sys
import tempfile

from attn_bench.jobs.run import run
from attn_bench.model.request import RunRequest
from attn_bench.view.console.progress import LiveProgress


def main() -> None:
    suite = sys.argv[1] if len(sys.argv) > 1 else "ge_extents"
    progress = LiveProgress()
    with tempfile.TemporaryDirectory() as folder:
        finished = run(RunRequest(suite, out=f"{folder}/run"), progress)
    progress.close()
    share = finished.info.calling_share
    print(f"{suite}: {100 * share:.1f} % of the measuring time was spent calling modules")


if __name__ == "__main__":
    main()
