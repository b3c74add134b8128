"""Series in words: what changed, at which commit, and the whole series as a sparkline."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from math import log
from typing import Any

from attn_bench.analysis.series import Change, Point, Series
from attn_bench.jobs.history.history import History, NewSoftware
from attn_bench.model import units
from attn_bench.model.axes import AXES
from attn_bench.model.metrics import Interval, Metric
from attn_bench.model.text import markdown, spreadsheet

BARS = "▁▂▃▄▅▆▇█"
SPARKS = 30  # columns of a sparkline
FLAT = 0.02  # a series that varies by less is drawn flat
COMMIT = 10  # digits
MOST_SKIPPED = 5  # lines on runs that cannot be read
USUAL = {axis.usual for axis in AXES}
CHANGES = ("change", "case", "before", "after", "ratio", "commit", "date")
SERIES = ("case", "series", "runs", "first", "last")


@dataclass(frozen=True, slots=True)
class Told:
    """A change in words.

    verdict: how the figure moved: "worse" or "better".
    revision: the whole hash of the commit.
    series: in which it is.
    """

    verdict: str
    case: str
    before: str
    after: str
    ratio: str
    commit: str
    date: str
    revision: str | None
    series: Series

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.verdict,
            self.case,
            self.before,
            self.after,
            self.ratio,
            self.commit,
            self.date,
        )


def name_series(history: History) -> dict[int, str]:
    """The name of each series, by its id(): the case without its usual conditions.

    What else differs between the series is added: the suite, the machine, and whether commits were
    compared in pairs.
    """
    facts = {
        id(series): (
            f"suite {series.suite}",
            f"machine {series.machine or 'unknown'}",
            "in pairs" if series.in_pairs else "run by run",
        )
        for series in history.all_series
    }
    differ = [len(set(words)) > 1 for words in zip(*facts.values(), strict=True)]
    return {
        id(series): ", ".join([_name_case(series), *compress(facts[id(series)], differ)])
        for series in history.all_series
    }


def _name_case(series: Series) -> str:
    variant, *others = series.case_id.split("/")
    return " ".join([variant, *(word for word in others if word not in USUAL)])


def tell_changes(history: History) -> list[Told]:
    """All changes: what became worse before what became better, the largest first."""
    found = [
        (_is_worse(history.metric, change), _size(change), series, change)
        for series in history.all_series
        for change in series.changes
    ]
    found.sort(key=lambda each: (not each[0], -each[1]))
    names = name_series(history)
    return [
        _tell(history.metric, names[id(series)], series, change) for _, _, series, change in found
    ]


def _is_worse(metric: Metric, change: Change) -> bool:
    return change.ratio is None or (change.ratio.value > 1) != metric.more_is_better


def _size(change: Change) -> float:
    return abs(log(change.ratio.value)) if change.ratio and change.ratio.value else float("inf")


def _tell(metric: Metric, name: str, series: Series, change: Change) -> Told:
    before, after = series.points[change.at - 1], series.points[change.at]
    return Told(
        "worse" if _is_worse(metric, change) else "better",
        name,
        show_figure(metric, before),
        show_figure(metric, after),
        show_ratio(change.ratio),
        name_commit(after),
        (after.keys.start or "")[:10],
        after.keys.revision,
        series,
    )


def show_ratio(ratio: Interval | None) -> str:
    """A ratio as a change; it is None after a figure that was 0."""
    if ratio is None:
        return "from 0"
    if ratio.lo == ratio.hi:
        return units.change(ratio.value)
    return units.change_with_interval(ratio.times(1))


def show_figure(metric: Metric, point: Point) -> str:
    """The figure of a point with its interval; an exact one in its unit."""
    if point.is_exact:
        return metric.show(point.value)
    factor, unit = (1e-3, " ms") if metric.unit == "µs" else (1.0, "")
    return f"{units.with_interval(Interval(point.value, point.lo, point.hi).times(factor))}{unit}"


def name_commit(point: Point) -> str:
    """The commit of a point; with a plus if the code had other changes."""
    revision = point.keys.revision
    return f"{revision[:COMMIT]}{'+' if point.keys.dirty else ''}" if revision else "unknown"


def draw(points: Sequence[Point], width: int = SPARKS) -> str:
    """The series as bars on a logarithmic scale; a wide one has one bar for several runs."""
    values = [point.value for point in points]
    if len(values) > width:
        ends = [round(i * len(values) / width) for i in range(width + 1)]
        values = [values[end - 1] for end in ends[1:]]
    least, most = min(values), max(values)
    if least <= 0 or most < least * (1 + FLAT):
        return BARS[len(BARS) // 2] * len(values) if most <= least * (1 + FLAT) else _draw(values)
    return _draw(list(map(log, values)))


def _draw(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    steps = len(BARS) - 1
    return "".join(BARS[round((value - low) / (high - low) * steps)] for value in values)


def summarise(history: History) -> str:
    """What changed, in a sentence."""
    told = tell_changes(history)
    counts = [sum(each.verdict == verdict for each in told) for verdict in ("worse", "better")]
    of = (
        f"in {units.number(len(history.all_series), 'series')} of {history.metric.name} over "
        f"{units.number(history.runs, 'run')}"
    )
    if not told:
        return f"No change {of}."
    worse, better = (units.number(n, "change") for n in counts)
    return f"{worse} for the worse and {better} for the better {of}."


def list_remarks(history: History) -> Iterator[str]:
    """Sentences on changes of software, and on runs that could not be read."""
    for each in history.software:
        yield _tell_software(each)
    if history.skipped:
        yield f"{units.number(len(history.skipped), 'run')} left out:"
        yield from history.skipped[:MOST_SKIPPED]


def _tell_software(new: NewSoftware) -> str:
    changed = "other conditions"
    if (found := new.difference) is not None:
        name = f"{found.cause} {found.key}" if found.key else found.cause
        changed = f"{name}: {found.then} before, {found.now} now"
    return f"From {new.run} on, {changed}. Figures before and after are not compared."


def make_series(history: History) -> list[tuple[str, ...]]:
    """A line for each series; those that changed come first."""
    ordered = sorted(history.all_series, key=lambda series: not series.changes)
    names = name_series(history)
    return [
        (
            names[id(series)],
            draw(series.points),
            str(len(series.points)),
            show_figure(history.metric, series.points[0]),
            show_figure(history.metric, series.points[-1]),
        )
        for series in ordered
    ]


# --- formats --------------------------------------------------------------------------------------


def as_markdown(history: History) -> str:
    from attn_bench.store.tables import markdown_table

    parts = [f"**{markdown(summarise(history))}**\n"]
    for headings, lines in (
        (CHANGES, [told.cells for told in tell_changes(history)]),
        (SERIES, make_series(history)),
    ):
        if lines:
            cells = [list(map(markdown, line)) for line in lines]
            parts.append(markdown_table(headings, cells))
    parts += [f"{markdown(remark)}\n" for remark in list_remarks(history)]
    return "\n".join(parts)


def as_csv(history: History) -> str:
    """A line for each point."""
    names = (*_point(history.all_series[0], 0), "changed")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for series in history.all_series:
        changed = {change.at for change in series.changes}
        for at in range(len(series.points)):
            cells = [*_point(series, at).values(), at in changed]
            writer.writerow([spreadsheet(c) if isinstance(c, str) else c for c in cells])
    return out.getvalue()


def as_json(history: History) -> str:
    content = {
        "metric": history.metric.name,
        "unit": history.metric.unit,
        "runs": history.runs,
        "series": [
            {
                "suite": series.suite,
                "case_id": series.case_id,
                "machine": series.machine,
                "points": [_point(series, at) for at in range(len(series.points))],
                "changes": [_change(series, change) for change in series.changes],
                "in_pairs": series.in_pairs,
                "breaks": list(series.breaks),
            }
            for series in history.all_series
        ],
        "remarks": list(list_remarks(history)),
        "skipped": list(history.skipped),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _point(series: Series, at: int) -> Mapping[str, Any]:
    point = series.points[at]
    keys = point.keys
    return {
        "suite": series.suite,
        "case_id": series.case_id,
        "machine": series.machine,
        "run": keys.run,
        "start": keys.start,
        "revision": keys.revision,
        "dirty": keys.dirty,
        "software": keys.software,
        "value": point.value,
        "lo": point.lo,
        "hi": point.hi,
    }


def _change(series: Series, change: Change) -> Mapping[str, Any]:
    ratio = change.ratio
    return {
        "at": change.at,
        "run": series.points[change.at].keys.run,
        "revision": series.points[change.at].keys.revision,
        "ratio": ratio and ratio.value,
        "ratio_lo": ratio and ratio.lo,
        "ratio_hi": ratio and ratio.hi,
    }


FORMATS = {"md": as_markdown, "csv": as_csv, "json": as_json}
