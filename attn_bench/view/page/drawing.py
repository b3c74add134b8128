"""Draws a picture as SVG for a page, or as files: the only home of colours, markers and sizes.

A picture is a title, a caption and panels. A panel draws itself on a matplotlib axes. In a page,
each panel is a separate SVG, so that a phone shows them below one another. Its colours are CSS
variables (`PALETTE` has their names), and its letters are text.
"""

from __future__ import annotations

import io
import logging
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

from attn_bench.model.text import printable
from attn_bench.store.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# CSS variable: colour on a light and on a dark page. All colours of a column differ, and those of
# text have a contrast of at least 4.5 to their page.
PALETTE = {
    "paper": ("#ffffff", "#15191e"),
    "ink": ("#1a1f26", "#e7eaee"),
    "muted": ("#59636e", "#a3adb8"),
    "grid": ("#dde1e6", "#323a43"),
    "series-1": ("#0b5fa5", "#6cb6ff"),
    "series-2": ("#b3420a", "#ff9a5c"),
    "series-3": ("#08705f", "#4fd1b5"),
    "series-4": ("#7d3ba0", "#d6a1f5"),
    "series-5": ("#7a5c00", "#e3c04b"),
    "series-6": ("#a81e55", "#ff8fb4"),
    "series-7": ("#3d4f9c", "#a5b4ff"),
}
SERIES = tuple(light for name, (light, _) in PALETTE.items() if name.startswith("series"))
INK, MUTED, GRID, PAPER = (PALETTE[name][0] for name in ("ink", "muted", "grid", "paper"))
MARKERS = "osD^vPXd"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1.5)))

HEIGHT = 270
WIDTH = 360  # points: a phone shows this width, with letters of 11 points, at nearly full size
LONGEST = 28  # letters of a label; the table shows the full label
TITLE_LETTERS = 42  # of a line above a panel in a file
TITLE_HEIGHT = 26  # points: of that line
LEAST_GAP = 3  # points: between labels of an axis
DOTS_PER_INCH = 160
FileFormat = Literal["png", "svg", "pdf"]
SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": PAPER,
    "font.size": 11,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "pdf.fonttype": 42,
    "legend.edgecolor": GRID,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.5,
    "lines.markersize": 5.5,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "attn-bench",
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One axes.

    alt: its content in words.
    height: in points.
    """

    title: str
    alt: str
    height: float
    draw: Callable[[Axes], None]


@dataclass(frozen=True, slots=True)
class Picture:
    """The panels under one title.

    name: begins the names of its files.
    missing: the reason if the picture has no panels.
    """

    name: str
    title: str
    caption: str = ""
    panels: Sequence[Panel] = ()
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """The look of one series in every panel: a marker, dashes and a colour."""

    colour: str
    marker: str
    dashes: Any


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for each name. Styles of one colour differ in markers and dashes.

    >>> [style.marker for style in styles(["se", "cbam"]).values()]
    ['o', 's']
    """
    return {
        name: Style(SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, name in enumerate(dict.fromkeys(names))
    }


def short(label: str) -> str:
    """`label`, printable and cut to the length that fits beside an axis.

    >>> short("se")
    'se'
    """
    shown = printable(label)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move `places` between 0 and 1 apart, so that neighbours keep the distance `gap`.

    The order stays. If the range is too small for all, the distance is as large as possible.

    >>> [round(place, 2) for place in spread([0.5, 0.52, 0.9], 0.1)]
    [0.46, 0.56, 0.9]
    """
    gap = min(gap, 1 / max(len(places) - 1, 1))
    order = sorted(range(len(places)), key=lambda i: places[i])
    # A run of touching labels is centred on their mean. Two runs that meet become one.
    runs: list[list[int]] = []
    for i in order:
        runs.append([i])
        while len(runs) > 1 and _start(runs[-1], places, gap) < (
            _start(runs[-2], places, gap) + gap * len(runs[-2])
        ):
            last = runs.pop()
            runs[-1] += last
    found = [0.0] * len(places)
    for run in runs:
        for step, i in enumerate(run):
            found[i] = _start(run, places, gap) + step * gap
    return found


def _start(run: Sequence[int], places: Sequence[float], gap: float) -> float:
    """The place of the first label in a run of touching labels."""
    length = gap * (len(run) - 1)
    middle = sum(places[i] for i in run) / len(run)
    return min(max(middle - length / 2, 0.0), 1.0 - length)


def plain_numbers(axis: object) -> None:
    """Label a logarithmic axis with plain numbers: 0.5, 1, 2, 5, 10."""
    from matplotlib.axis import Axis
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    assert isinstance(axis, Axis)
    low, high = axis.get_view_interval()
    decades = log(high / low, 10)
    steps = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3 else (1.0,)
    number: Callable[[float, int], str] = lambda value, _: f"{value:g}"  # noqa: E731
    is_narrow = decades < 0.5  # fewer than two such ticks: use four evenly spaced ones
    axis.set_major_locator(MaxNLocator(4) if is_narrow else LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(number))
    axis.set_minor_formatter(NullFormatter())


def svg(panel: Panel, key: str) -> str:
    """The panel as an SVG element for a page; `key` makes its ids unique in the page."""
    from matplotlib.figure import Figure

    with _drawing():
        figure = Figure(figsize=(WIDTH / 72, panel.height / 72), layout="constrained")
        panel.draw(figure.subplots())
        _lay_out(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True)
    return _inline(file.getvalue(), panel.alt, key)


def write_panel(panel: Panel, path: Path, format_: FileFormat) -> None:
    """Write a panel with its title as a file. Raises OSError.

    An SVG follows the light or dark setting of who looks at it. A PDF contains its fonts.
    """
    from matplotlib.figure import Figure

    with _drawing():
        size = (WIDTH / 72, (panel.height + TITLE_HEIGHT) / 72)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.set_title(fill(panel.title, TITLE_LETTERS), fontsize=11, loc="left")
        panel.draw(axes)
        _lay_out(figure)
        file = io.BytesIO()
        # Without the time of writing, so that the same figures are the same file.
        metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[format_]
        figure.savefig(
            file,
            dpi=DOTS_PER_INCH,
            format=format_,
            transparent=format_ == "svg",
            metadata=metadata,
        )
    content = file.getvalue()
    write_atomically(path, _with_dark_colours(content) if format_ == "svg" else content)


def _with_dark_colours(file: bytes) -> bytes:
    """matplotlib's SVG with a style sheet that replaces its colours where the reader likes dark."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark} !important}}'
        for light, dark in PALETTE.values()
        for what in ("fill", "stroke")
    )
    sheet = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style></svg>"
    return file.rstrip().removesuffix(b"</svg>") + sheet.encode() + b"\n"


def _lay_out(figure: Figure) -> None:
    """Give the axes their places once, and remove labels that would touch.

    Of the labels of a horizontal axis every second one goes, until none touch.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # or it would be laid out again when it is written
    for axes in figure.axes:
        low, high = axes.get_xlim()
        pairs = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        shown = [(tick, label) for tick, label in pairs if low <= tick <= high]
        boxes = [label.get_window_extent() for _, label in shown if label.get_text()]
        gap = LEAST_GAP * figure.dpi / 72
        while len(shown) > 2 and any(b.x0 - a.x1 < gap for a, b in pairwise(boxes)):
            shown, boxes = shown[::2], boxes[::2]
            axes.set_xticks([t for t, _ in shown], [label.get_text() for _, label in shown])


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw with our settings only, without the user's matplotlibrc.

    Ignore letters that are missing in our font: the browser uses another font.
    """
    import matplotlib

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _inline(file: bytes, alt: str, key: str) -> str:
    """matplotlib's file as an HTML element with named colours.

    Namespace, metadata, style sheet and size are removed.
    """
    root = ET.fromstring(file)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        bare = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        if element.tag == "g":
            bare.pop("id", None)
        element.attrib = {name: _ours(name, value, key) for name, value in bare.items()}
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": alt}
    return ET.tostring(root, encoding="unicode")


def _ours(name: str, value: str, key: str) -> str:
    """The value of an attribute, with unique ids and named colours."""
    if name == "id":
        return f"{key}-{value}"
    if name in ("href", "clip-path"):
        return value.replace("#", f"#{key}-", 1)
    if name == "style":
        for colour, (light, _) in PALETTE.items():
            value = value.replace(light, f"var(--{colour})")
    return value
