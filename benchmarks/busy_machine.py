"""Compares the figures of runs on a busy machine with those of a quiet one.

    python benchmarks/busy_machine.py [--runs N] [--quiet N] [WORDS …]

Runs `run --suite smoke WORDS …` N times with nothing beside it, then N times beside four processes
that always spin. A latency or a ratio that a busy run shows must be within 10 % of the quiet runs'
mean. A figure that is not known must be missing, with status 4. Status 1: a figure is wrong.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from math import exp, log
from pathlib import Path

import numpy as np
from neighbour import load, neighbours

from attn_bench.store import runs

TOLERANCE = 0.10
FIGURES = ("latency_us", "ratio")


def measure(folder: Path, words: list[str], seed: int) -> tuple[int, dict[tuple[str, str], float]]:
    """The exit status of one run, and the figures that it shows."""
    command = [sys.executable, "-m", "attn_bench", "run", "--suite", "smoke", "--device", "cpu"]
    command += ["--seed", str(seed), "--out", str(folder), *words]
    status = subprocess.run(command, capture_output=True).returncode
    rows = runs.load(folder).rows
    found = {(r.case_id, name): getattr(r, name) for r in rows for name in FIGURES}
    return status, {key: value for key, value in found.items() if value is not None}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--quiet", type=int, default=3)
    words, others = parser.parse_known_args()
    logs: dict[tuple[str, str], list[float]] = defaultdict(list)
    wrong = shown = missing = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(words.quiet):
            _, figures = measure(Path(folder, f"quiet-{number}"), others, number)
            for key, value in figures.items():
                logs[key].append(log(value))
        print(f"quiet: {words.quiet} runs, {len(logs)} figures; {load()}", flush=True)
        true = {key: exp(float(np.mean(found))) for key, found in logs.items()}
        with neighbours("four"):
            for number in range(words.runs):
                status, figures = measure(Path(folder, f"busy-{number}"), others, number)
                off = {key: figures[key] / true[key] - 1 for key in figures.keys() & true.keys()}
                bad = {key: each for key, each in off.items() if abs(each) > TOLERANCE}
                shown, missing = shown + len(off), missing + len(true) - len(off)
                wrong += len(bad)
                worst = max((abs(each) for each in off.values()), default=0.0)
                print(
                    f"busy {number}: status {status}; {len(off)} figures shown, the worst "
                    f"{100 * worst:.1f} % off; {len(true) - len(off)} missing; {load()}",
                    flush=True,
                )
                for (case, name), each in bad.items():
                    print(f"    {case} {name}: {100 * each:+.1f} %", flush=True)
    print(f"{shown} figures shown, {wrong} of them off by more than 10 %; {missing} missing")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
