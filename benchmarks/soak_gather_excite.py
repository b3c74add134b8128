"""Checks Gather-Excite's CPU kernel against float64 on many random shapes.

    python benchmarks/soak_gather_excite.py [--shapes 500] [--seed 1000]

Half of the shapes check the gate with its gradients, the other half the learned gathers. Prints one
line. Status 0: all agree; 1: some differ, with a line for each; 2: this machine has no C++ compiler
with OpenMP.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# The tests define the checks; this file runs them on more shapes.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/modules"))

import ge_random

from attn_bench.modules import ge_cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first shape")
    options = parser.parse_args()
    if not ge_cpu.is_available():
        print("soak_gather_excite: this machine has no C++ compiler with OpenMP", file=sys.stderr)
        return 2
    failed = 0
    for seed in range(options.seed, options.seed + options.shapes):
        check = ge_random.check_gather if seed % 2 else ge_random.check_excite
        try:
            check(seed)
        except AssertionError as error:
            failed += 1
            print(f"{check.__name__}({seed}): {error}", file=sys.stderr)
    agreed = options.shapes - failed
    print(f"gather_excite: {agreed} of {options.shapes} random shapes agree with float64")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
