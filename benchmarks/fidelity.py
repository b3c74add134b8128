"""Compares our medians with those of torch.utils.benchmark.Timer.blocked_autorange.

    python benchmarks/fidelity.py

Times 30 cases from a few µs to tens of ms in one process; the two timers alternate in random order.
Prints the ratio of our median to theirs for each case, and the geometric mean.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from math import exp, log
from typing import Any

from attn_bench.engine.process import MALLOC, OPENMP

REPEATS = 101
SECONDS = 0.03  # for each timer and repeat: shorter than most disturbances of a shared machine


def main() -> None:
    settings = {**OPENMP, **MALLOC}  # those of a worker; the process must start with them
    if any(name not in os.environ for name in settings):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**settings, **os.environ})
    import torch
    from torch.utils.benchmark import Timer

    from attn_bench.catalog.registry import builtin
    from attn_bench.model.case import Case, Shape, Variant
    from attn_bench.worker.bench import Bench
    from attn_bench.worker.devices.base import open_device

    bench = Bench(open_device("cpu"), builtin())
    variants = [
        *(Variant(name) for name in ("identity", "se", "cbam")),
        *(Variant("ge_theta_minus", extent) for extent in (4, "global")),
        Variant("ge_theta", 2),
    ]
    shapes = [
        *(Shape(1, 16, 8, 8), Shape(1, 64, 16, 16), Shape(2, 128, 28, 28)),
        *(Shape(8, 128, 28, 28), Shape(8, 256, 56, 56)),
    ]
    logs = []
    for shape in shapes:
        for variant in variants:
            built = bench.build(Case(variant, shape))
            timer = Timer(
                "call()", globals={"call": built.call}, num_threads=torch.get_num_threads()
            )
            with built.mode():
                pairs = measure_pairs(bench, built, timer)
            ratio = statistics.median(p["ours"] / p["theirs"] for p in pairs)
            logs.append(log(ratio))
            latency = 1e6 * statistics.median(p["theirs"] for p in pairs)
            print(f"{variant.label:32} {shape!s:14} {latency:9.1f} µs  {ratio:.3f}")
    worst = max(abs(exp(x) - 1) for x in logs)
    mean = exp(statistics.mean(logs))
    print(f"{len(logs)} cases: geometric mean {mean:.4f}, largest |ratio − 1| {worst:.3f}")


def measure_pairs(bench: Any, built: Any, timer: Any) -> list[dict[str, float]]:
    """The seconds of a call by both timers, measured REPEATS times in random order."""
    bench.device.time_block(built.call, 3)
    once = min(bench.device.time_block(built.call, 1).seconds for _ in range(5))
    calls = max(1, round(0.003 / once))

    def ours() -> float:
        blocks, until = [], time.perf_counter() + SECONDS
        while not blocks or time.perf_counter() < until:
            blocks.append(bench.device.time_block(built.call, calls).seconds / calls)
        return statistics.median(blocks)

    def theirs() -> float:
        return timer.blocked_autorange(min_run_time=SECONDS).median

    pairs = []
    for _ in range(REPEATS):
        order = [("ours", ours), ("theirs", theirs)]
        random.shuffle(order)
        pairs.append({name: measure() for name, measure in order})
    return pairs


if __name__ == "__main__":
    main()
