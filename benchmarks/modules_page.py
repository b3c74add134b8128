"""Writes the table of docs/modules.md, of all modules, from a run of the suite `modules`.

    python -m attn_bench run --suite modules --out RUN
    python benchmarks/modules_page.py RUN

Names and papers come from the registry, gains from the published rows, parameters, MACs and costs
from the run. Year, formula and licence are in `modules_page.toml`. A cost is empty if the run is
not timed.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attn_bench.catalog.registry import Entry, builtin
from attn_bench.model.row import Row
from attn_bench.papers.gains import DATASET
from attn_bench.papers.published import Published, baseline_of, gains, our_variant
from attn_bench.store import runs

ABOUT = Path(__file__).with_suffix(".toml")
PAGE = Path(__file__).parent.parent / "docs" / "modules.md"
FIRST = "| module |"  # the table goes from here to the end of the page
CHANNELS, SIDE = 256, 28
BACKBONE = "ResNet-50"


def table(about: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Row]) -> Iterator[str]:
    """The lines of the table; `rows` are those at 256×28×28, by module."""
    yield f"{FIRST} paper | year | formula | parameters | MACs | cost | gain | licence |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for entry in sorted(builtin(), key=lambda entry: entry.name.lower()):
        known = about.get(entry.name, {})
        cells = (
            f"`{entry.name}`",
            _paper(entry),
            str(known.get("year", "")),
            str(known.get("formula", entry.summary)).replace("|", "\\|"),
            *_measured(rows.get(entry.name)),
            "; ".join(_gains(entry.name)),
            str(known.get("licence", "")),
        )
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _paper(entry: Entry) -> str:
    number = (entry.paper or "").removeprefix("arXiv:")
    return f"[{number}](https://arxiv.org/abs/{number})" if number else ""


def _measured(row: Row | None) -> tuple[str, str, str]:
    """Parameters, MACs of one image, and the cost; empty if unknown."""
    if row is None:
        return "", "", ""
    macs = "" if row.macs is None else f"{row.macs // row.batch:,}"
    timed = None not in (row.ratio, row.ratio_lo, row.ratio_hi)
    cost = f"{row.ratio:.1f} ({row.ratio_lo:.1f}–{row.ratio_hi:.1f})" if timed else ""
    return "" if row.params is None else f"{row.params:,}", macs, cost


def _gains(module: str) -> Iterator[str]:
    """The published gains of the module with its usual arguments, each with its source."""
    for row, gain in gains().items():
        if gain is None or row.backbone != BACKBONE or our_variant(row) not in _labels(module):
            continue
        data = "" if row.dataset == DATASET else f"{row.dataset}, "
        yield f"{gain:+.2f} ({data}{_source(row)})"


def _labels(module: str) -> tuple[str, ...]:
    return module, f"{module}(extent=global)", f"{module}(extent=2)"


def _source(row: Published) -> str:
    """The first words of the source, and the plain network's error."""
    plain = baseline_of(row)
    error = "" if plain is None else f", plain {plain.top1_err:g} %"
    return row.source.split(" (")[0].split(",")[0].split("; ")[0] + error


def main() -> None:
    about = tomllib.loads(ABOUT.read_text(encoding="utf-8"))
    run = runs.load(runs.find(sys.argv[1]))
    at_stage = [row for row in run.rows if (row.channels, row.height) == (CHANNELS, SIDE)]
    rows = {row.module: row for row in reversed(at_stage)}
    text, _, _ = PAGE.read_text(encoding="utf-8").partition(FIRST)
    PAGE.write_text(text + "\n".join(table(about, rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
