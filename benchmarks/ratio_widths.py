"""How precise the ratios of a run are, beside its latencies.

    python benchmarks/ratio_widths.py [RUN …]     by default, the newest run

Prints the median half-width of the 95 % intervals of `ratio` and of `latency_us`, the width of nine
of ten, and the number of ratios wider than 1.5 times their case's latency. The load of the machine
comes from `run.json`.
"""

from __future__ import annotations

import argparse

import numpy as np

from attn_bench.model.row import Row
from attn_bench.store import runs


def widths(rows: list[Row], lo: str, hi: str) -> list[float]:
    """Half-widths as fractions of the geometric middle, which an unclear figure has, too."""
    ends = [(getattr(row, lo), getattr(row, hi)) for row in rows]
    return [(b - a) / 2 / float(np.sqrt(a * b)) for a, b in ends]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", default=["latest"])
    for name in parser.parse_args().runs:
        stored = runs.load(runs.find(name))
        baseline = stored.info.suite.baseline
        rows = [r for r in stored.rows if r.ratio_lo is not None and r.variant != baseline]
        ratio = widths(rows, "ratio_lo", "ratio_hi")
        latency = widths(rows, "latency_lo_us", "latency_hi_us")
        wider = sum(r > 1.5 * x for r, x in zip(ratio, latency, strict=True))
        seen = stored.info.environment
        print(f"{stored.path.name}: {len(rows)} ratios; {seen.cpu}; pages {seen.pages}")
        for words, found in (("ratio", ratio), ("latency", latency)):
            half, most = np.quantile(found, [0.5, 0.9])
            print(
                f"  {words:8s} ± {100 * half:.1f} % at the median, ± {100 * most:.1f} % nine of ten"
            )
        print(f"  {wider} of {len(rows)} ratios are wider than 1.5 times their latency")
        print(
            f"  load {seen.load_at_start} to {seen.load_at_end}; other work {seen.other_load_cores}"
        )


if __name__ == "__main__":
    main()
