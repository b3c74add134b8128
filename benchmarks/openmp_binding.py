"""Measures the gain from binding OpenMP threads to cores beside a busy neighbour.

    python benchmarks/openmp_binding.py

Times one SE block (8×256×28×28) in fresh processes, with and without binding, beside another
process that runs PyTorch on all cores. Prints the median latency of each and their ratio.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from attn_bench.engine.process import OPENMP

ROUNDS = 3
NEIGHBOUR = "import torch\nx = torch.randn(8, 256, 28, 28)\nwhile True: (x * 2).sum()"
MEASURE = """
import statistics, time, torch
from attn_bench.modules.references import se
module, x = se(256).eval(), torch.randn(8, 256, 28, 28)
def once():
    start = time.perf_counter()
    module(x)
    return time.perf_counter() - start
with torch.inference_mode():
    [once() for _ in range(20)]
    print(1e6 * statistics.median(once() for _ in range(100)))
"""


def latency_us(bound: bool) -> float:
    kept = {name: value for name, value in os.environ.items() if name not in OPENMP}
    environment = {**kept, **(OPENMP if bound else {})}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) as neighbour:
        try:
            pairs = [(latency_us(False), latency_us(True)) for _ in range(ROUNDS)]
        finally:
            neighbour.kill()
    free, bound = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"beside a busy neighbour: free {free:.0f} µs, bound {bound:.0f} µs: {free / bound:.1f}×")


if __name__ == "__main__":
    main()
