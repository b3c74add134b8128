"""How much of the measuring time goes into calling modules.

    python benchmarks/calling_share.py [SUITE]

Runs the suite (ge_extents) and prints the share of the wall time, from the end of inspection to the
end of measuring, that was spent in timed blocks and the untimed first calls before them.
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
