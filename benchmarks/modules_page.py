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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attn_bench.catalog.registry import Entry, builtin
from attn_bench.model.row import Row
from attn_bench.papers import published
from attn_bench.papers.gains import DATASET, gains_of
from attn_bench.store import runs

ABOUT = Path(__file__).with_suffix(".toml")
PAGE = Path(__file__).parent.parent / "docs" / "modules.md"
FIRST = "| module |"  # the table goes from here to the end of the page
CHANNELS, SIDE = 256, 28
USUAL = "ResNet-50"
BACKBONES = {USUAL: "resnet50", "MobileNetV2": "mobilenetv2_100"}  # published name -> ours


def table(about: Mapping[str, Mapping[str, Any]], rows: Sequence[Row]) -> Iterator[str]:
    """The lines of the table: one for each measured variant, and for each module without one.

    rows: those at 256×28×28.
    """
    yield f"{FIRST} paper | year | formula | parameters | MACs | cost | gain | licence |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for entry in sorted(builtin(), key=lambda entry: entry.name.lower()):
        known = about.get(entry.name, {})
        measured: list[Row | None] = [row for row in rows if row.module == entry.name]
        for row in measured or [None]:
            label = entry.name if row is None else row.variant
            cells = (
                f"`{label}`",
                _paper(entry),
                str(known.get("year", "")),
                str(known.get("formula", entry.summary)).replace("|", "\\|"),
                *_measured(row),
                "; ".join(_gains(label)),
                str(known.get("licence", "")),
            )
            yield f"| {' | '.join(cells)} |"


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


def _gains(variant: str) -> Iterator[str]:
    """The published gains of the variant: on ImageNet in each backbone, then on other data sets.

    Each has its source and the error of the plain network.
    """
    for name, ours in BACKBONES.items():
        for gain in gains_of(variant, ours):
            where = "" if name == USUAL else f"{name}, "
            source = gain.paper.name.split(",")[0]
            yield f"{gain.points:+.2f} ({where}{source}, {gain.paper.plain_error:g} %)"
    for row, points in published.gains().items():
        if points is not None and row.dataset != DATASET and row.backbone in BACKBONES:
            plain = published.baseline_of(row)
            if published.our_variant(row) == variant and plain is not None:
                source = row.source.split(",")[0]
                yield f"{points:+.2f} ({row.dataset}, {source}, {plain.top1_err:g} %)"


def main() -> None:
    about = tomllib.loads(ABOUT.read_text(encoding="utf-8"))
    run = runs.load(runs.find(sys.argv[1]))
    rows = [row for row in run.rows if (row.channels, row.height) == (CHANNELS, SIDE)]
    text, _, _ = PAGE.read_text(encoding="utf-8").partition(FIRST)
    PAGE.write_text(text + "\n".join(table(about, rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
