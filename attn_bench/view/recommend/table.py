"""The candidates of a choice: a table of measured costs and published gains, and its legend."""

from __future__ import annotations

from rich.table import Table

from attn_bench.jobs.recommend.choice import Candidate, Choice
from attn_bench.jobs.recommend.limits import Fit
from attn_bench.model import units
from attn_bench.model.metrics import LIMITS, Metric
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED
from attn_bench.papers.gains import Gain, Paper
from attn_bench.view.markup import escape
from attn_bench.view.recommend.words import show_ratio

NARROW, PAPERS, PAPERS_IF_NARROW = 100, 4, 2
USUAL = ("latency", "params", "memory")  # metrics that are always shown
TRAINED = ("latency", "memory")  # metrics that are shown of training, beside inference
FRONT = "◆"
TAKEN = "→"
MARKS: dict[Fit, str] = {"yes": "", "unclear": "?", "no": "!", "unknown": ""}
BRACKETS = {"read": (" ", " "), "secondary": ("(", ")"), "recalled": ("[", "]")}


def make_table(choice: Choice, width: int, share_of_us: float | None = None) -> Table:
    """A line for the baseline, then one for each candidate, in the order of the choice.

    In a narrow terminal, names are folded and fewer papers are shown. No figure is cut.
    """
    shown = Table(box=None, padding=(0, 1, 0, 0), header_style="underline")
    shown.add_column("  candidate", overflow="fold")
    metrics = _metrics(choice)
    trained = TRAINED if choice.training_baseline else ()
    headings = [str(LIMITS[name].heading) for name in trained]
    headings = [*(str(metric.heading) for metric in metrics), *(f"training {h}" for h in headings)]
    if not _is_network(choice):
        headings[:0] = ["ms", "share"] if share_of_us else ["ms"]
    for heading in [*headings, "fits"]:
        is_word = heading == "fits"
        shown.add_column(heading, justify="left" if is_word else "right", no_wrap=True)
    for letter in _letters(choice, width):
        shown.add_column(letter, justify="center", no_wrap=True)
    if (baseline := choice.baseline) is not None:
        name = "as it is" if choice.replaces else baseline.variant
        absolute = [_absolute(baseline, metric) for metric in metrics]
        if not _is_network(choice):
            absolute = [*_alone(baseline, share_of_us), "1 ×", *absolute[1:]]
        if choice.training_baseline is not None:
            absolute += [_absolute(choice.training_baseline, LIMITS[name]) for name in TRAINED]
        shown.add_row(f"  {escape(name)}", *absolute)
    for candidate in choice.candidates:
        style = "bold green" if candidate is choice.chosen else None
        shown.add_row(*_cells(candidate, choice, width, share_of_us), style=style)
    return shown


def make_legend(choice: Choice, width: int) -> list[str]:
    """The meaning of the signs and letters of the table."""
    is_network = _is_network(choice)
    costs = "costs are changes against" if is_network else "× means times"
    plain = "the network as it is" if choice.replaces else "the plain backbone"
    baseline = plain if is_network else "a copy of the input"
    lines = [
        f"{TAKEN} recommended; ! beyond a limit, ? possibly beyond it; {costs} {baseline}; ± 95 % "
        "interval; memory: peak of a call, beyond input and parameters."
    ]
    if choice.papers:
        lines.append(
            "A, B, …: published gain in points of top-1; compare only within a column; ( ) quoted "
            f"by a secondary source, [ ] recalled from memory; {FRONT} on the Pareto front of "
            "latency and gain, among the candidates that fit."
        )
        lines += [f"  {letter}  {paper}" for letter, paper in _letters(choice, width).items()]
    return lines


def _letters(choice: Choice, width: int) -> dict[str, Paper]:
    room = PAPERS if width >= NARROW else PAPERS_IF_NARROW
    return {chr(ord("A") + i): paper for i, paper in enumerate(choice.papers[:room])}


def _metrics(choice: Choice) -> list[Metric]:
    """The metrics to show: the usual ones, and those with a limit."""
    limited = {limit.metric for limit in choice.limits}
    return [metric for name, metric in LIMITS.items() if name in USUAL or name in limited]


def _is_network(choice: Choice) -> bool:
    return choice.baseline is not None and choice.baseline.backbone is not None


def _absolute(row: Row, metric: Metric) -> str:
    """A figure of the baseline, in its unit."""
    if metric.kind == "exact":
        return metric.show(getattr(row, metric.name))
    return f"{_milliseconds(row)} ms"


def _alone(row: Row, share_of_us: float | None) -> list[str]:
    """The latency of a module in a stage, and its share of a network's, to the digits known."""
    found = row.interval("latency_us")
    factors = [1e-3] if share_of_us is None else [1e-3, 100 / share_of_us]
    shown = [units.with_interval(found.times(f) if found else None) for f in factors]
    return [text.partition(" ±")[0] + unit for text, unit in zip(shown, ("", " %"), strict=False)]


def _milliseconds(row: Row) -> str:
    found = row.interval("latency_us")
    return units.with_interval(found.times(1e-3) if found else None)


def _cells(
    candidate: Candidate, choice: Choice, width: int, share_of_us: float | None
) -> list[str]:
    row, baseline = candidate.row, choice.baseline
    sign = TAKEN if candidate is choice.chosen else " "
    extent = "" if row.extent is None else f" {row.extent}"
    name = f"{sign} {escape(row.module if choice.replaces else row.name)}{escape(extent)}"
    if row.status not in COUNTED:
        return [name, f"[dim]{row.status}[/]"]
    costs = [
        _relative(row, baseline, metric) + MARKS[candidate.keeps.get(str(metric.limit), "yes")]
        for metric in _metrics(choice)
    ]
    if not _is_network(choice):
        costs[:0] = _alone(row, share_of_us)
    if choice.training_baseline is not None:
        costs += _training_costs(candidate, choice.training_baseline)
    gains = [
        _gain(candidate.gains.get(paper), paper in candidate.on_front)
        for paper in _letters(choice, width).values()
    ]
    return [name, *costs, candidate.fits, *gains]


def _training_costs(candidate: Candidate, baseline: Row) -> list[str]:
    row = candidate.training
    if row is None or row.status not in COUNTED:
        return [""] * len(TRAINED)
    return [
        _relative(row, baseline, LIMITS[name])
        + MARKS[candidate.keeps.get(f"training {name}", "yes")]
        for name in TRAINED
    ]


def _relative(row: Row, baseline: Row | None, metric: Metric) -> str:
    """A network's change from the plain network, or the value of a module."""
    value, of = (getattr(r, metric.name, None) for r in (row, baseline))
    if metric.kind != "exact":
        return show_ratio(row)
    if row.backbone:
        return units.change(value / of if value is not None and of else None)
    if metric.per_input:
        return f"{units.multiple(None if value is None else value / row.input_bytes)} ×"
    return metric.show(value)


def _gain(gain: Gain | None, is_on_front: bool) -> str:
    if gain is None:
        return ""
    before, after = BRACKETS[gain.provenance]
    return escape(f"{before}{gain.points:+.2f}{after}{FRONT if is_on_front else ' '}")
