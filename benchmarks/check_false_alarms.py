"""Counts the false alarms of `check` on unchanged code beside a busy neighbour.

    python benchmarks/check_false_alarms.py [--runs N] [--budget SECONDS]

Runs `check --suite smoke --against HEAD` repeatedly in a clean clone of this repository, with the
default or the given budget. Prints the number of checks with each status.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from neighbour import busy_neighbour

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--budget", type=float)
    words = parser.parse_args()
    wanted = words.runs
    budget = [] if words.budget is None else ["--budget", str(words.budget)]
    statuses: Counter[int] = Counter()
    verdicts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, busy_neighbour():
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        began = time.monotonic()
        for number in range(1, wanted + 1):
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "attn_bench", "check", "--suite", "smoke"),
                    *("--device", "cpu", "--against", "HEAD", "--seed", str(number)),
                    *budget,
                ],
                cwd=clone,
                env={**os.environ, "PYTHONPATH": str(clone)},
                capture_output=True,
                text=True,
            )
            statuses[done.returncode] += 1
            for line in done.stdout.splitlines():
                if " cases: " in line:
                    for part in line.rstrip(".").partition(": ")[2].split(", "):
                        count, _, verdict = part.partition(" ")
                        verdicts[verdict] += int(count)
            counted = ", ".join(f"{n} with status {s}" for s, n in sorted(statuses.items()))
            each = (time.monotonic() - began) / number
            print(f"{number} checks, {each:.0f} s each: {counted}; {dict(verdicts)}", flush=True)
            if done.returncode not in (0, 4):
                print(done.stdout + done.stderr, flush=True)
    return int(not statuses.keys() <= {0, 4})


if __name__ == "__main__":
    raise SystemExit(main())
