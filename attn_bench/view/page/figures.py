"""The figures of a run, in the order of the page: a figure is one entry of FIGURES."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attn_bench.model.row import Row
from attn_bench.view.page import bound, cost_against_gain, latency, memory
from attn_bench.view.page.drawing import Picture

# From rows and the suite's baseline to a picture; a picture without panels states the reason.
FIGURES: tuple[Callable[[Sequence[Row], str], Picture], ...] = (
    lambda rows, _: latency.make_picture(rows),
    cost_against_gain.make_picture,
    lambda rows, _: bound.make_picture(rows),
    lambda rows, _: memory.make_picture(rows),
)


def make_pictures(rows: Sequence[Row], baseline: str) -> list[Picture]:
    """All figures of a run."""
    return [make_picture(rows, baseline) for make_picture in FIGURES]
