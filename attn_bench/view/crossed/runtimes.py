"""The same modules in several executions: their ratios side by side, and where the order changes.

A ratio is to the baseline in the same execution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, permutations

from attn_bench.jobs.recommend.limits import known_interval
from attn_bench.model.axes import AXES
from attn_bench.model.case import PLAIN
from attn_bench.model.row import Row
from attn_bench.view.crossed.table import Crossed, name_module, show_ratio
from attn_bench.view.summary import group_title

(EXECUTION,) = (axis for axis in AXES if axis.name == "execution")


def cross(rows: Sequence[Row], baseline: str) -> Iterator[Crossed]:
    """A table for each shape with ratios in two executions or more."""
    groups: dict[str, dict[str, dict[str, Row]]] = {}
    for row in rows:
        if known_interval(row, "ratio") is not None and row.variant not in (baseline, PLAIN):
            group = groups.setdefault(_title(row), {})
            group.setdefault(row.execution, {})[name_module(row)] = row
    for title, found in groups.items():
        if len(found) > 1:
            yield _cross(title, found, baseline)


def _title(row: Row) -> str:
    return group_title(replace(row, execution="eager"))


def _cross(title: str, found: Mapping[str, Mapping[str, Row]], baseline: str) -> Crossed:
    names = list(dict.fromkeys(name for rows in found.values() for name in rows))
    first = next(iter(found.values()))
    names.sort(key=lambda name: (first[name].ratio or 0.0) if name in first else 0.0)
    lines = tuple(
        (name, *(show_ratio(rows.get(name)) for rows in found.values())) for name in names
    )
    headings = ("module", *map(EXECUTION.in_words, found))
    of = "latency" if next(iter(first.values())).backbone else f"× {baseline}"
    return Crossed(f"{title}: {of} in each runtime", headings, lines, _changes(found))


def _changes(found: Mapping[str, Mapping[str, Row]]) -> tuple[str, ...]:
    """A sentence for each pair that is in one order here and in the other there."""
    said: list[tuple[float, str]] = []
    for here, there in combinations(found, 2):
        common = found[here].keys() & found[there].keys()
        for a, b in permutations(sorted(common), 2):
            first, then = _lead(found[here], a, b), _lead(found[there], b, a)
            if first > 1 and then > 1:
                here_, there_ = EXECUTION.in_words(here), EXECUTION.in_words(there)
                words = f"{a} is faster than {b} in {here_}, and slower in {there_}"
                said.append((first * then, words))
    said.sort(reverse=True)
    return tuple(sentence for _, sentence in said)


def _lead(rows: Mapping[str, Row], a: str, b: str) -> float:
    """How many times as long as `a` the module `b` takes at least; below 1 if that is not sure."""
    slowest, fastest = rows[a].ratio_hi, rows[b].ratio_lo
    return fastest / slowest if slowest and fastest else 0.0
