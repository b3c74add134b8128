"""Courses in words: what changed, at which commit, and the whole course as a sparkline."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from attn_bench.analysis.courses import Change, Course, Point
from attn_bench.jobs.history.history import History, NewSoftware
from attn_bench.model import units
from attn_bench.model.axes import AXES
from attn_bench.model.metrics import Interval, Metric
from attn_bench.model.text import markdown, spreadsheet

BARS = "▁▂▃▄▅▆▇█"
SPARKS = 30  # columns of a sparkline
FLAT = 0.02  # a course that varies by less is drawn flat
COMMIT = 10  # digits
MOST_SKIPPED = 5  # lines on runs that cannot be read
USUAL = {axis.usual for axis in AXES}
CHANGES = ("change", "case", "before", "after", "ratio", "commit", "date")
COURSES = ("case", "course", "runs", "first", "last")


@dataclass(frozen=True, slots=True)
class Told:
    """A change in words.

    verdict: how the figure moved: "worse" or "better".
    revision: the whole hash of the commit.
    """

    verdict: str
    case: str
    before: str
    after: str
    ratio: str
    commit: str
    date: str
    revision: str | None

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


def name_case(course: Course) -> str:
    """The case without its usual conditions."""
    variant, *others = course.case_id.split("/")
    return " ".join([variant, *(word for word in others if word not in USUAL)])


def tell_changes(history: History) -> list[Told]:
    """All changes: what became worse before what became better, the largest first."""
    found = [
        (_is_worse(history.metric, change), _size(change), course, change)
        for course in history.courses
        for change in course.changes
    ]
    found.sort(key=lambda each: (not each[0], -each[1]))
    return [
        _tell(history.metric, course, change, is_worse=is_worse)
        for is_worse, _, course, change in found
    ]


def _is_worse(metric: Metric, change: Change) -> bool:
    return change.ratio is None or (change.ratio.value > 1) != metric.more_is_better


def _size(change: Change) -> float:
    return abs(log(change.ratio.value)) if change.ratio and change.ratio.value else float("inf")


def _tell(metric: Metric, course: Course, change: Change, *, is_worse: bool) -> Told:
    before, after = course.points[change.at - 1], course.points[change.at]
    return Told(
        "worse" if is_worse else "better",
        name_case(course),
        show_figure(metric, before),
        show_figure(metric, after),
        show_ratio(change.ratio),
        name_commit(after),
        (after.keys.start or "")[:10],
        after.keys.revision,
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
    """The course as bars on a logarithmic scale; a wide one has one bar for several runs."""
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
        f"in {units.number(len(history.courses), 'course')} of {history.metric.name} over "
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


def make_courses(history: History) -> list[tuple[str, ...]]:
    """A line for each course; those that changed come first."""
    ordered = sorted(history.courses, key=lambda course: not course.changes)
    return [
        (
            name_case(course),
            draw(course.points),
            str(len(course.points)),
            show_figure(history.metric, course.points[0]),
            show_figure(history.metric, course.points[-1]),
        )
        for course in ordered
    ]


# --- formats --------------------------------------------------------------------------------------


def as_markdown(history: History) -> str:
    from attn_bench.store.tables import markdown_table

    parts = [f"**{markdown(summarise(history))}**\n"]
    for headings, lines in (
        (CHANGES, [told.cells for told in tell_changes(history)]),
        (COURSES, make_courses(history)),
    ):
        if lines:
            cells = [list(map(markdown, line)) for line in lines]
            parts.append(markdown_table(headings, cells))
    parts += [f"{markdown(remark)}\n" for remark in list_remarks(history)]
    return "\n".join(parts)


def as_csv(history: History) -> str:
    """A line for each point."""
    names = (*_point(history.courses[0], 0), "changed")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for course in history.courses:
        changed = {change.at for change in course.changes}
        for at in range(len(course.points)):
            cells = [*_point(course, at).values(), at in changed]
            writer.writerow([spreadsheet(c) if isinstance(c, str) else c for c in cells])
    return out.getvalue()


def as_json(history: History) -> str:
    content = {
        "metric": history.metric.name,
        "unit": history.metric.unit,
        "runs": history.runs,
        "courses": [
            {
                "suite": course.suite,
                "case_id": course.case_id,
                "machine": course.machine,
                "points": [_point(course, at) for at in range(len(course.points))],
                "changes": [_change(course, change) for change in course.changes],
                "new_software": list(course.breaks),
            }
            for course in history.courses
        ],
        "remarks": list(list_remarks(history)),
        "skipped": list(history.skipped),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _point(course: Course, at: int) -> Mapping[str, Any]:
    point = course.points[at]
    keys = point.keys
    return {
        "suite": course.suite,
        "case_id": course.case_id,
        "machine": course.machine,
        "run": keys.run,
        "start": keys.start,
        "revision": keys.revision,
        "dirty": keys.dirty,
        "software": keys.software,
        "value": point.value,
        "lo": point.lo,
        "hi": point.hi,
    }


def _change(course: Course, change: Change) -> Mapping[str, Any]:
    ratio = change.ratio
    return {
        "at": change.at,
        "run": course.points[change.at].keys.run,
        "revision": course.points[change.at].keys.revision,
        "ratio": ratio and ratio.value,
        "ratio_lo": ratio and ratio.lo,
        "ratio_hi": ratio and ratio.hi,
    }


FORMATS = {"md": as_markdown, "csv": as_csv, "json": as_json}
