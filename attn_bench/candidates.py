"""The candidates of a choice as people read them: a table of costs and published gains."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from attn_bench import units
from attn_bench.choice import Candidate, Choice
from attn_bench.gain import Gain
from attn_bench.limits import COLUMNS, ratio_in_words
from attn_bench.record import Row
from attn_bench.summary import interval_of, memory_multiple, name_of

MOST_PAPERS = 4
FRONT = "◆"
TAKEN = "→"
BRACKETS = {"read": (" ", " "), "secondary": ("(", ")"), "recalled": ("[", "]")}


def table(choice: Choice) -> Table:
    """A line for each candidate, after the anchor; those that fit first, the cheapest first."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ["  candidate", "latency", "params", "memory", "fits"]:
        is_word = heading in ("  candidate", "fits")
        shown.add_column(heading, justify="left" if is_word else "right", no_wrap=True)
    for letter in _letters(choice):
        shown.add_column(letter, justify="center", no_wrap=True)
    if (anchor := choice.anchor) is not None:
        latency = interval_of(anchor, "latency")
        shown.add_row(
            f"  {escape(anchor.variant)}",
            f"{units.with_interval(latency.times(1e-3) if latency else None)} ms",
            units.count(anchor.params),
            units.bytes_(anchor.peak_memory_bytes),
        )
    for candidate in choice.candidates:
        style = "bold green" if candidate is choice.chosen else None
        shown.add_row(*_cells(candidate, choice), style=style)
    return shown


def legend(choice: Choice) -> list[str]:
    """What the signs and letters of the table stand for."""
    of_network = choice.anchor is not None and choice.anchor.backbone is not None
    said = "changes are against the plain backbone" if of_network else "× is the input's"
    lines = [
        f"{TAKEN} what to take; {said}; ± 95 % interval; memory is the peak of a call, beyond "
        "input and parameters."
    ]
    if choice.papers:
        lines.append(
            "A, B, …: published gain in points of top-1, to be compared within a column alone; "
            f"( ) quoted by a secondary source, [ ] recalled from memory; {FRONT} on the Pareto "
            "front of what fits."
        )
        lines += [f"  {letter}  {paper}" for letter, paper in _letters(choice).items()]
    return lines


def _letters(choice: Choice) -> dict[str, str]:
    return {chr(ord("A") + i): paper for i, paper in enumerate(choice.papers[:MOST_PAPERS])}


def _cells(candidate: Candidate, choice: Choice) -> list[str]:
    row = candidate.row
    sign = TAKEN if candidate is choice.chosen else " "
    extent = "" if row.extent is None else f" {row.extent}"
    name = f"{sign} {escape(name_of(row))}{extent}"
    if row.status != "ok":
        return [name, f"[dim]{row.status}[/]"]
    gains = [
        _gain(candidate.gains.get(paper), paper in candidate.on_front)
        for paper in _letters(choice).values()
    ]
    costs = [ratio_in_words(row), _params(row, choice.anchor), _memory(row, choice.anchor)]
    return [name, *costs, candidate.fits, *gains]


def _params(row: Row, anchor: Row | None) -> str:
    if row.backbone is None:
        return units.count(row.params)
    return units.change(_over(row, anchor, "params"))


def _memory(row: Row, anchor: Row | None) -> str:
    if row.backbone is None:
        return f"{units.multiple(memory_multiple(row))} ×"
    return units.change(_over(row, anchor, "memory"))


def _over(row: Row, anchor: Row | None, metric: str) -> float | None:
    value, of = (getattr(r, COLUMNS[metric], None) for r in (row, anchor))
    return value / of if value is not None and of else None


def _gain(gain: Gain | None, is_on_front: bool) -> str:
    if gain is None:
        return ""
    before, after = BRACKETS[gain.provenance]
    return escape(f"{before}{gain.points:+.2f}{after}{FRONT if is_on_front else ' '}")
