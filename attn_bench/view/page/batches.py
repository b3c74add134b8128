"""The figures over the batch size: what each module adds, and the throughput."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.case import PLAIN
from attn_bench.model.row import Row
from attn_bench.view.crossed.batches import LITTLE, group_by_batch
from attn_bench.view.crossed.table import show_ratio
from attn_bench.view.page.drawing import HEIGHT, INK, Panel, Picture, Style, plain_numbers, styles
from attn_bench.view.page.series import draw_series, label_at_right

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ByModule = Mapping[str, Mapping[int, Row]]


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is drawn over the batch size.

    of: (value, lo, hi) of a row; None where it is unknown.
    in_words: of a row.
    limit: where a dashed line stands.
    """

    title: str
    axis: str
    of: Callable[[Row], tuple[float, float, float] | None]
    in_words: Callable[[Row], str]
    is_log: bool = False
    limit: float | None = None


def make_picture(rows: Sequence[Row], baseline: str) -> Picture:
    """Two panels for each shape or network that was measured at several batch sizes."""
    groups = group_by_batch(rows)
    looks = styles([name for modules in groups.values() for name in modules])
    panels = [
        Panel(
            f"{quantity.title}, {title}",
            f"{quantity.title} at {title}: {_in_words(shown, quantity)}.",
            HEIGHT,
            partial(_draw, modules=shown, looks=looks, quantity=quantity),
        )
        for title, modules in groups.items()
        for quantity in (_ratio(modules, baseline), THROUGHPUT)
        if (shown := _known(modules, quantity, baseline))
    ]
    caption = (
        "What a module adds to its baseline, and the images per second, at each batch size, with "
        "95 % intervals."
    )
    return Picture("batches", "Batch size", caption, panels)


def _throughput(row: Row) -> tuple[float, float, float] | None:
    interval = row.interval("images_per_s")
    return interval.times(1) if interval else None


def _say_throughput(row: Row) -> str:
    return units.with_interval(_throughput(row))


def _added(row: Row) -> tuple[float, float, float] | None:
    ratio = row.interval("ratio")
    if ratio is None:
        return None
    value, lo, hi = ((each - 1) * 100 for each in ratio.times(1))
    return value, lo, hi


def _factor(row: Row) -> tuple[float, float, float] | None:
    ratio = row.interval("ratio")
    return ratio.times(1) if ratio else None


THROUGHPUT = Quantity("Throughput", "images/s", _throughput, _say_throughput, is_log=True)


def _ratio(modules: ByModule, baseline: str) -> Quantity:
    """The ratio to the baseline; in a network, the added latency."""
    if next(iter(next(iter(modules.values())).values())).backbone:
        return Quantity("Added latency", "added, %", _added, show_ratio, limit=LITTLE * 100)
    return Quantity("Latency", f"× {baseline}", _factor, show_ratio)


def _known(modules: ByModule, quantity: Quantity, baseline: str) -> dict[str, dict[int, Row]]:
    """The rows with a figure; the baseline has no ratio to show."""
    found = {}
    for name, by_batch in modules.items():
        is_baseline = next(iter(by_batch.values())).variant in (baseline, PLAIN)
        if is_baseline and quantity is not THROUGHPUT:
            continue
        if rows := {batch: row for batch, row in sorted(by_batch.items()) if quantity.of(row)}:
            found[name] = rows
    return found


def _draw(axes: Axes, modules: ByModule, looks: Mapping[str, Style], quantity: Quantity) -> None:
    labels = []
    for name, by_batch in modules.items():
        intervals = [interval for row in by_batch.values() if (interval := quantity.of(row))]
        draw_series(axes, list(by_batch), intervals, looks[name])
        labels.append((list(by_batch)[-1], intervals[-1][0], name, looks[name]))
    batches = sorted({batch for by_batch in modules.values() for batch in by_batch})
    if quantity.limit is not None:
        axes.axhline(quantity.limit, color=INK, ls="--", lw=1, zorder=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, list(map(str, batches)))
    axes.minorticks_off()
    axes.set_xlabel("batch size")
    axes.set_ylabel(quantity.axis)
    if quantity.is_log:
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
    label_at_right(axes, labels)


def _in_words(modules: ByModule, quantity: Quantity) -> str:
    return "; ".join(
        f"{name} at {batch} {quantity.in_words(row)}"
        for name, by_batch in modules.items()
        for batch, row in by_batch.items()
    )
