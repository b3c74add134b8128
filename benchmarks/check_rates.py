"""Counts the verdicts of `check` on unchanged code, or with a planted slowdown, beside a neighbour.

    python benchmarks/check_rates.py [--runs N] [--budget SECONDS] [--planted PERCENT]

Without --planted it runs `check --suite smoke --against HEAD` in a clean clone of this repository.
With it, nine variants of known work are checked with a tolerance of 2 %; one of them does
PERCENT more work than its committed version. Prints the number of checks with each status, the
verdicts, and the verdicts of the planted variant. The neighbour spins on one core half of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from neighbour import busy_neighbour, load

ROOT = Path(__file__).resolve().parent.parent
PASSES = 100
PLANTED = "work_0"
FILE = """
from attn_bench import register
from attn_bench.modules.probe import Probe

PASSES = {passes}


def make(passes):
    class Work(Probe):
        def __init__(self, channels):
            super().__init__(channels, passes)

    return Work


for number in range(9):
    register(f"work_{{number}}")(make(PASSES if number == 0 else 100))
"""
SUITE = """
title = "Known amounts of work"
baseline = "identity"

[[grid]]
module = ["work_0", "work_1", "work_2", "work_3", "work_4", "work_5", "work_6", "work_7", "work_8"]

[[grid]]
module = ["identity"]

[shapes]
batch = 1
stages = [[64, 28, 28]]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--budget", type=float)
    parser.add_argument("--planted", type=int, help="percent")
    words = parser.parse_args()
    budget = [] if words.budget is None else ["--budget", str(words.budget)]
    statuses: Counter[int] = Counter()
    verdicts: Counter[str] = Counter()
    planted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, busy_neighbour():
        clone = Path(folder, "clone")
        what = make_clone(clone, words.planted)
        began = time.monotonic()
        for number in range(1, words.runs + 1):
            answer = Path(folder, "answer.json")
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "attn_bench", "check", *what, "--device", "cpu"),
                    *("--against", "HEAD", "--seed", str(number), "--json", str(answer), *budget),
                ],
                cwd=clone,
                env={**os.environ, "PYTHONPATH": str(clone)},
                capture_output=True,
                text=True,
            )
            statuses[done.returncode] += 1
            for finding in json.loads(answer.read_text())["findings"]:
                kind = planted if finding["module"] == PLANTED and words.planted else verdicts
                kind[finding["verdict"]] += 1
            counted = ", ".join(f"{n} with status {s}" for s, n in sorted(statuses.items()))
            each = (time.monotonic() - began) / number
            print(
                f"{number} checks, {each:.0f} s each: {counted}; {dict(verdicts)}"
                + (f"; planted {words.planted} %: {dict(planted)}" if words.planted else ""),
                flush=True,
            )
            if done.returncode not in (0, 1, 4):
                print(done.stdout + done.stderr, flush=True)
    print(load())
    return int(not words.planted and not statuses.keys() <= {0, 4})


def make_clone(clone: Path, planted: int | None) -> list[str]:
    """Clone this repository, and plant the slowdown. Returns what to check."""
    git = ["git", "-C", str(clone), "-c", "user.name=x", "-c", "user.email=x@localhost"]
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    if planted is None:
        return ["--suite", "smoke"]
    (clone / "work.py").write_text(FILE.format(passes=PASSES))
    (clone / "work.toml").write_text(SUITE)
    subprocess.run([*git, "add", "work.py", "work.toml"], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "before"], check=True)
    (clone / "work.py").write_text(FILE.format(passes=PASSES + PASSES * planted // 100))
    return [
        *("--suite", "work.toml", "--modules-from", "work.py", "--tolerance", "latency=2"),
        *("--modules", "work_*"),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
