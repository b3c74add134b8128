"""How long `history` and its page take for many runs of many cases.

    python benchmarks/history_size.py [--runs 300] [--cases 60]

The runs are made from results/reference: their ratios vary by 1 %, and each tenth case is 5 %
slower in the last third. Prints seconds, and the size of the page.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from neighbour import load

from attn_bench.model.row import Row
from attn_bench.store import runs
from attn_bench.store.frames import table_frame

REFERENCE = Path(__file__).parent.parent / "results" / "reference" / "ge_extents-cpu"


def make_rows(cases: int) -> list[Row]:
    """Rows with a ratio, each with another name."""
    known = [row for row in runs.load(REFERENCE).rows if row.ratio is not None]
    return [
        replace(known[i % len(known)], case_id=f"{known[i % len(known)].case_id}/{i}")
        for i in range(cases)
    ]


def make_runs(folder: Path, number: int, rows: list[Row]) -> None:
    """The tables of `number` runs, without their other files."""
    chance = random.Random(1)
    for at in range(number):
        name = f"run-{at:05d}"
        keys = {
            "run": name,
            "start": f"2026-01-01T{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}",
            "suite": "ge_extents",
            "revision": f"{at:040x}",
            "machine": "m",
            "software": "s",
        }
        changed = []
        for number_of_case, row in enumerate(rows):
            is_slower = number_of_case % 10 == 3 and at >= 2 * number // 3
            value = (row.ratio or 1.0) * chance.gauss(1, 0.01) * (1.05 if is_slower else 1)
            ratios = {"ratio": value, "ratio_lo": value * 0.98, "ratio_hi": value * 1.02}
            changed.append(replace(row, **ratios, **keys))  # type: ignore[arg-type]
        (folder / name).mkdir(parents=True)
        table_frame(changed).to_parquet(folder / name / "table.parquet", index=False)


def clock(folder: Path, *words: str) -> float:
    """Seconds that a command takes; it must end with 0."""
    start = time.perf_counter()
    words = (sys.executable, "-m", "attn_bench", *words)
    subprocess.run(words, cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--cases", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder / "results", options.runs, make_rows(options.cases))
        print(f"{options.runs} runs of {options.cases} cases; {load()}")
        print(f"history            {clock(folder, 'history'):.1f} s")
        print(f"report --history   {clock(folder, 'report', '--history'):.1f} s")
        size = (folder / "results" / "history.html").stat().st_size
        print(f"the page           {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
