"""The figures of a page, in its order: a figure is one entry of FIGURES."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from attn_bench.view.page import batches, bound, cost_against_gain, forest, latency
from attn_bench.view.page.drawing import Picture
from attn_bench.view.page.points import NONE
from attn_bench.view.page.shown import Shown

# From a run, and the gains that an author measured, to a picture. One without panels states the
# reason, or is left out.
Figure = Callable[[Shown, Mapping[str, float]], Picture]
FIGURES: tuple[Figure, ...] = (
    lambda each, _: latency.make_picture(each.run.rows),
    lambda each, _: batches.make_picture(each.run.rows, each.baseline),
    lambda each, own: cost_against_gain.make_picture(each.run.rows, each.baseline, own),
    lambda each, _: bound.make_picture(each.run.rows),
)


def make_pictures(shown: Sequence[Shown], own: Mapping[str, float] = NONE) -> list[Picture]:
    """All figures: one of all runs together, then those of each run."""
    pictures = [forest.make_picture(shown), *(_join(shown, figure, own) for figure in FIGURES)]
    return [picture for picture in pictures if picture.panels or picture.missing]


def _join(shown: Sequence[Shown], figure: Figure, own: Mapping[str, float]) -> Picture:
    """The panels of all runs in one picture."""
    pictures = [figure(each, own) for each in shown]
    panels = [
        replace(panel, title=f"{panel.title} · {each.label}" if each.label else panel.title)
        for each, picture in zip(shown, pictures, strict=True)
        for panel in picture.panels
    ]
    first = next((picture for picture in pictures if picture.panels), pictures[0])
    return replace(first, panels=panels)
