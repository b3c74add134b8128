"""Measures the cost of a sweep of 1,000 cases: memory, and the coordinator's time for a block.

    python benchmarks/large_sweep.py [--budget SECONDS]

Measures 10 modules at 100 shapes. Prints the resident memory of the coordinator and of a worker,
and the coordinator's CPU time for a block, in the first and in the last quarter of the run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import psutil

from attn_bench.jobs.run import run
from attn_bench.model.request import RunRequest

SUITE = """
title = "1,000 cases"

[[grid]]
module = ["se", "cbam", "timm/eca", "timm/ese", "timm/gc", "timm/coord", "identity"]

[[grid]]
module = "ge_theta_minus"
extent = [2, 4, "global"]

[shapes]
batch    = 4
channels = [16, 32, 48, 64, 80, 96, 112, 128, 160, 192]
size     = [7, 8, 10, 12, 14, 16, 20, 24, 28, 32]
"""


class Gauge:
    """Replaces the progress line, and samples the processes now and then."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int, float, int, int]] = []
        self._blocks = 0
        self._measuring = False
        self._looked = 0.0

    def stage(self, title: str, total: float, unit: str) -> None:
        print(f"{title}: {total:.0f} {unit}", flush=True)
        self._measuring = title == "measuring"

    def step(self, done: float, doing: str, known: str = "") -> None:
        self._blocks += self._measuring
        if not self._measuring or time.monotonic() - self._looked < 1:
            return
        self._looked = time.monotonic()
        me = psutil.Process()
        workers = [child.memory_info().rss for child in me.children()]
        cpu_s = sum(me.cpu_times()[:2])
        self.samples.append((done, self._blocks, cpu_s, me.memory_info().rss, max(workers)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=300.0)
    budget = parser.parse_args().budget
    gauge = Gauge()
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder, "sweep.toml")
        suite.write_text(SUITE)
        request = RunRequest(str(suite), device="cpu", budget_s=budget, out=f"{folder}/run")
        finished = run(request, gauge)
    quarter = len(gauge.samples) // 4
    for name, part in (("first", gauge.samples[:quarter]), ("last", gauge.samples[-quarter:])):
        (_, blocks, cpu_s, *_), (_, blocks_then, cpu_then_s, own, worker) = part[0], part[-1]
        per_block_us = 1e6 * (cpu_then_s - cpu_s) / (blocks_then - blocks)
        print(
            f"{name} quarter: {per_block_us:.0f} µs of the coordinator's CPU time a block; "
            f"resident: coordinator {own / 2**20:.0f} MiB, largest worker {worker / 2**20:.0f} MiB"
        )
    measured = sum(row.status == "ok" for row in finished.rows)
    share = 100 * finished.info.calling_share
    print(
        f"{measured} of {len(finished.rows)} cases measured, {gauge.samples[-1][1]} blocks, "
        f"{share:.0f} % of the time spent calling modules"
    )


if __name__ == "__main__":
    main()
