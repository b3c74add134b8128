"""Measures the losses from random kills.

    python benchmarks/random_kills.py [--kills N]

Runs a suite of 20 cases several times. In each run, it kills workers with SIGKILL at random
moments, then the program itself, and resumes the run. Prints the number of kills, of cases lost
besides the current case of a killed worker, of cases without budget, of corrupt files and of
incomplete runs. Status 1: a case was lost, a file is corrupt or a run is incomplete.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from attn_bench.store import runs

ROOT = Path(__file__).resolve().parent.parent
WORKER_KILLS = 4  # a run
SUITE = """
title = "20 cases"
budget = 12
sessions = 2
precision = 0.01

[[grid]]
module = ["se", "cbam", "timm/eca"]

[[grid]]
module = ["ge_theta_minus", "ge_theta"]
extent = [2, 4, 8, "global"]

[[grid]]
module = ["timm/gc", "timm/coord", "timm/ese", "timm/ela", "timm/strip", "timm/lcbam"]

[[grid]]
module = ["ge_theta_plus", "timm/scoord"]

[shapes]
batch  = 2
stages = [[32, 8, 8]]
"""


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "attn_bench", "run", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def workers(program: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        children = psutil.Process(program.pid).children(recursive=True)
        return [child for child in children if "attn_bench.worker" in child.cmdline()]
    except psutil.Error:
        return []


def blocks(folder: Path) -> int:
    journal = folder / "run" / "journal.jsonl"
    return journal.read_text().count('{"block"') if journal.exists() else 0


def one_run(folder: Path) -> tuple[int, int, int, int, bool]:
    """Make one run.

    Returns the numbers of kills, of cases lost besides one for each killed worker, of cases
    without budget and of corrupt files, and whether the run is complete.
    """
    (folder / "suite.toml").write_text(SUITE)
    program = start(folder, "--suite", "suite.toml", "--out", "run")
    while not blocks(folder) and program.poll() is None:
        time.sleep(0.05)
    killed = 0
    for _ in range(WORKER_KILLS):
        before = blocks(folder)
        time.sleep(random.uniform(0.05, 1.0))
        victims = workers(program)
        if program.poll() is not None or not victims:
            break
        random.choice(victims).kill()
        killed += 1
        while blocks(folder) == before and program.poll() is None:
            time.sleep(0.05)
    time.sleep(random.uniform(0.0, 2.0))
    program.kill()
    program.wait()
    resumed = start(folder, "--resume", "run")
    resumed.wait()
    corrupt = 0
    try:
        stored = runs.load(folder / "run")
        for line in (folder / "run" / "journal.jsonl").read_text().splitlines():
            json.loads(line)
    except (runs.RequestError, ValueError):
        return killed + 1, 0, 0, 1, False
    lost = sum(row.status not in ("ok", "skipped") for row in stored.rows)
    unreached = sum(row.status == "skipped" for row in stored.rows)
    complete = stored.info.state == "finished" and len(stored.rows) == 20
    return killed + 1, max(0, lost - killed), unreached, corrupt, complete


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    wanted = parser.parse_args().kills
    kills = lost = unreached = corrupt = incomplete = runs = 0
    while kills < wanted:
        with tempfile.TemporaryDirectory() as folder:
            k, cases, late, bad, complete = one_run(Path(folder))
        kills, lost, corrupt, runs = kills + k, lost + cases, corrupt + bad, runs + 1
        unreached += late
        incomplete += not complete
        print(
            f"{kills} kills in {runs} runs: {lost} other cases lost, {unreached} out of budget, "
            f"{corrupt} corrupt files, {incomplete} incomplete runs",
            flush=True,
        )
    return int(bool(lost or corrupt or incomplete))


if __name__ == "__main__":
    raise SystemExit(main())
