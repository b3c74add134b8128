"""A table of modules against one condition, with what it says in words."""

from __future__ import annotations

from dataclasses import dataclass

from attn_bench.jobs.recommend.limits import known_interval
from attn_bench.model import units
from attn_bench.model.row import Row
from attn_bench.view.summary import show_change


@dataclass(frozen=True, slots=True)
class Crossed:
    """The modules of one shape or network, a column for each value of the condition.

    sentences: what the table says, the clearest first.
    """

    title: str
    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]


def name_module(row: Row) -> str:
    """The variant with its extent."""
    return row.name if row.extent is None else f"{row.name}({row.extent})"


def show_ratio(row: Row | None) -> str:
    """The ratio to the baseline; in a network, the change of its latency."""
    if row is None:
        return units.UNKNOWN
    if row.backbone:
        return show_change(row)
    ratio = known_interval(row, "ratio")
    return units.with_interval(ratio.times(1) if ratio else None)
