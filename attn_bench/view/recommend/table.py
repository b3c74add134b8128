"""The candidates of a choice: a table of measured costs and published gains, and its legend."""

from __future__ import annotations

from dataclasses import dataclass

from attn_bench.jobs.recommend.choice import Candidate, Choice
from attn_bench.jobs.recommend.limits import Fit
from attn_bench.model import units
from attn_bench.model.metrics import LIMITS, Metric
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED
from attn_bench.papers.gains import Gain, Paper
from attn_bench.view.markup import escape
from attn_bench.view.recommend.words import show_ratio

USUAL = ("latency", "params", "memory")  # metrics that are always shown
TRAINED = ("latency", "memory")  # metrics that are shown of training, beside inference
FRONT = "◆"
TAKEN = "→"
MARKS: dict[Fit, str] = {"yes": "", "unclear": "?", "no": "!", "unknown": ""}
BRACKETS = {"read": ("", ""), "secondary": ("(", ")"), "recalled": ("[", "]")}


@dataclass(frozen=True)
class Shown:
    """The table of a choice: headings, and lines of markup.

    words: the columns that are words, and not figures.
    chosen: the number of the recommended line, if any.
    """

    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    words: tuple[str, ...] = ("candidate", "fits")
    chosen: int | None = None


def make_table(choice: Choice, share_of_us: float | None = None) -> Shown:
    """A line for the baseline, then one for each candidate, in the order of the choice."""
    metrics = _metrics(choice)
    trained = TRAINED if choice.training_baseline else ()
    headings = [str(metric.heading) for metric in metrics]
    headings += [f"training {LIMITS[name].heading}" for name in trained]
    if not _is_network(choice):
        headings[:0] = ["ms", "share %"] if share_of_us else ["ms"]
    lines = [] if choice.baseline is None else [_baseline(choice, choice.baseline, share_of_us)]
    lines += [_cells(candidate, choice, share_of_us) for candidate in choice.candidates]
    places = [n for n, c in enumerate(choice.candidates) if c is choice.chosen]
    return Shown(
        ("candidate", *headings, "fits", *_letters(choice)),
        tuple(map(tuple, lines)),
        chosen=places[0] + len(lines) - len(choice.candidates) if places else None,
    )


def _baseline(choice: Choice, baseline: Row, share_of_us: float | None) -> list[str]:
    metrics = _metrics(choice)
    name = "as it is" if choice.replaces else baseline.variant
    absolute = [_absolute(baseline, metric) for metric in metrics]
    if not _is_network(choice):
        absolute = [*_alone(baseline, share_of_us), "1 ×", *absolute[1:]]
    if choice.training_baseline is not None:
        absolute += [_absolute(choice.training_baseline, LIMITS[name]) for name in TRAINED]
    return [f"  {escape(name)}", *absolute]


def make_legend(choice: Choice) -> list[str]:
    """The meaning of the signs and letters that the table has."""
    is_network = _is_network(choice)
    costs = "costs are changes against" if is_network else "× means times"
    plain = "the network as it is" if choice.replaces else "the plain backbone"
    baseline = plain if is_network else "a copy of the input"
    kept = {fits for candidate in choice.candidates for fits in candidate.keeps.values()}
    signs = {
        f"{TAKEN} recommended": choice.chosen is not None,
        "! beyond a limit": "no" in kept,
        "? possibly beyond a limit": "unclear" in kept,
    }
    lines = [
        "; ".join(
            [
                *(words for words, occurs in signs.items() if occurs),
                f"{costs} {baseline}",
                "± 95 % interval",
                "memory: peak of a call, beyond input and parameters.",
            ]
        )
    ]
    if choice.papers:
        gains = [g for candidate in choice.candidates for g in candidate.gains.values()]
        origins = {gain.provenance for gain in gains}
        has_front = any(candidate.on_front for candidate in choice.candidates)
        signs = {
            "( ) quoted by a secondary source": "secondary" in origins,
            "[ ] recalled from memory": "recalled" in origins,
            f"{FRONT} on the Pareto front of latency and gain, among the candidates that fit": (
                has_front
            ),
        }
        lines.append(
            "; ".join(
                [
                    "A, B, …: published gain in points of top-1",
                    "compare only within a column",
                    *(words for words, occurs in signs.items() if occurs),
                ]
            )
            + "."
        )
        lines += [f"  {letter}  {paper}" for letter, paper in _letters(choice).items()]
    return lines


def _letters(choice: Choice) -> dict[str, Paper]:
    return {chr(ord("A") + i): paper for i, paper in enumerate(choice.papers)}


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
    """The latency of a module in a stage, and its share of a network's."""
    found = row.interval("latency_us")
    factors = [1e-3] if share_of_us is None else [1e-3, 100 / share_of_us]
    return [units.with_interval(found.times(f) if found else None) for f in factors]


def _milliseconds(row: Row) -> str:
    found = row.interval("latency_us")
    return units.with_interval(found.times(1e-3) if found else None)


def _cells(candidate: Candidate, choice: Choice, share_of_us: float | None) -> list[str]:
    row, baseline = candidate.row, choice.baseline
    sign = TAKEN if candidate is choice.chosen else " "
    extent = "" if row.extent is None else f" {row.extent}"
    name = f"{sign} {escape(row.module if choice.replaces else row.name)}{escape(extent)}"
    if row.status not in COUNTED:
        return [name, f"[dim]{row.status}[/]"]
    costs = [
        _marked(_relative(row, baseline, metric), candidate.keeps.get(str(metric.limit), "yes"))
        for metric in _metrics(choice)
    ]
    if not _is_network(choice):
        costs[:0] = _alone(row, share_of_us)
    if choice.training_baseline is not None:
        costs += _training_costs(candidate, choice.training_baseline)
    gains = [
        _gain(candidate.gains.get(paper), paper in candidate.on_front)
        for paper in _letters(choice).values()
    ]
    return [name, *costs, candidate.fits, *gains]


def _training_costs(candidate: Candidate, baseline: Row) -> list[str]:
    row = candidate.training
    if row is None or row.status not in COUNTED:
        return [""] * len(TRAINED)
    return [
        _marked(
            _relative(row, baseline, LIMITS[name]), candidate.keeps.get(f"training {name}", "yes")
        )
        for name in TRAINED
    ]


def _marked(text: str, fits: Fit) -> str:
    return text if text == units.UNCLEAR else text + MARKS[fits]


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
    return escape(f"{before}{gain.points:+.2f}{after}{FRONT if is_on_front else ''}")
