"""The candidates of a choice as people read them: a table of costs and published gains."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from attn_bench.jobs.recommend.choice import Candidate, Choice
from attn_bench.jobs.recommend.limits import COLUMNS, Fit, Metric, ratio_in_words
from attn_bench.model import units
from attn_bench.model.record import Row
from attn_bench.papers.gain import Gain
from attn_bench.view.summary import interval_of, memory_multiple, name_of

NARROW, PAPERS, PAPERS_IF_NARROW = 100, 4, 2
FRONT = "◆"
TAKEN = "→"
MARKS: dict[Fit, str] = {"yes": "", "unclear": "?", "no": "!", "unknown": ""}
BRACKETS = {"read": (" ", " "), "secondary": ("(", ")"), "recalled": ("[", "]")}


def table(choice: Choice, width: int) -> Table:
    """A line for each candidate, after the anchor; those that fit first, the cheapest first.

    Where there is little room, names are folded and fewer papers shown; no figure is cut.
    """
    shown = Table(box=None, padding=(0, 1, 0, 0), header_style="underline")
    shown.add_column("  candidate", overflow="fold")
    for heading in ["latency", "params", *_macs_heading(choice), "memory", "fits"]:
        is_word = heading == "fits"
        shown.add_column(heading, justify="left" if is_word else "right", no_wrap=True)
    for letter in _letters(choice, width):
        shown.add_column(letter, justify="center", no_wrap=True)
    if (anchor := choice.anchor) is not None:
        latency = interval_of(anchor, "latency")
        shown.add_row(
            f"  {escape(anchor.variant)}",
            f"{units.with_interval(latency.times(1e-3) if latency else None)} ms",
            units.count(anchor.params),
            *([units.count(anchor.macs)] if _macs_heading(choice) else []),
            units.bytes_(anchor.peak_memory_bytes),
        )
    for candidate in choice.candidates:
        style = "bold green" if candidate is choice.chosen else None
        shown.add_row(*_cells(candidate, choice, width), style=style)
    return shown


def legend(choice: Choice, width: int) -> list[str]:
    """What the signs and letters of the table stand for."""
    of_network = choice.anchor is not None and choice.anchor.backbone is not None
    said = (
        "changes are against the plain backbone"
        if of_network
        else "× is a copy of the input, its size"
    )
    lines = [
        f"{TAKEN} what to take; ! beyond its limit, ? perhaps; {said}; ± 95 % interval; memory is "
        "the peak of a call, beyond input and parameters."
    ]
    if choice.papers:
        lines.append(
            "A, B, …: published gain in points of top-1, to be compared within a column alone; "
            f"( ) quoted by a secondary source, [ ] recalled from memory; {FRONT} on the Pareto "
            "front of latency and gain, of what fits."
        )
        lines += [f"  {letter}  {paper}" for letter, paper in _letters(choice, width).items()]
    return lines


def _letters(choice: Choice, width: int) -> dict[str, str]:
    room = PAPERS if width >= NARROW else PAPERS_IF_NARROW
    return {chr(ord("A") + i): paper for i, paper in enumerate(choice.papers[:room])}


def _macs_heading(choice: Choice) -> list[str]:
    """MACs are shown where they are limited."""
    return ["MACs"] if any(limit.metric == "macs" for limit in choice.limits) else []


def _cells(candidate: Candidate, choice: Choice, width: int) -> list[str]:
    row, anchor = candidate.row, choice.anchor
    sign = TAKEN if candidate is choice.chosen else " "
    extent = "" if row.extent is None else f" {row.extent}"
    name = f"{sign} {escape(name_of(row))}{extent}"
    if row.status != "ok":
        return [name, f"[dim]{row.status}[/]"]
    figures: dict[Metric, str] = {
        "latency": ratio_in_words(row),
        "params": _added(row, anchor, "params") if row.backbone else units.count(row.params),
        "macs": _added(row, anchor, "macs") if row.backbone else units.count(row.macs),
        "memory": _added(row, anchor, "memory")
        if row.backbone
        else f"{units.multiple(memory_multiple(row))} ×",
    }
    if not _macs_heading(choice):
        del figures["macs"]
    costs = [text + MARKS[candidate.keeps.get(of, "yes")] for of, text in figures.items()]
    gains = [
        _gain(candidate.gains.get(paper), paper in candidate.on_front)
        for paper in _letters(choice, width).values()
    ]
    return [name, *costs, candidate.fits, *gains]


def _added(row: Row, anchor: Row | None, metric: str) -> str:
    value, of = (getattr(r, COLUMNS[metric], None) for r in (row, anchor))
    return units.change(value / of if value is not None and of else None)


def _gain(gain: Gain | None, is_on_front: bool) -> str:
    if gain is None:
        return ""
    before, after = BRACKETS[gain.provenance]
    return escape(f"{before}{gain.points:+.2f}{after}{FRONT if is_on_front else ' '}")
