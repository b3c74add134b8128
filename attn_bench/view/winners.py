"""Who is the fastest, in one or two sentences, decided by direct comparison."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from attn_bench.model import units
from attn_bench.model.case import BASELINE
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.view.summary import group_title, is_among_fastest

MOST_NAMED = 4  # slower modules in one sentence


def name_winners(rows: Sequence[Row]) -> list[str]:
    """The fastest variants, and how much longer the best variants of other modules take."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.over_fastest_lo is not None and not row.module.endswith(BASELINE):
            groups[group_title(row)].append(row)
    winners = {title: list(filter(is_among_fastest, members)) for title, members in groups.items()}
    alone = Counter(found[0].variant for found in winners.values() if len(found) == 1)
    words = []
    for variant, count in alone.most_common():
        titles = [title for title, found in winners.items() if _is_only(found, variant)]
        where = f"at {titles[0]}" if count == 1 and len(groups) > 1 else _of(count, len(groups))
        others = _name_others([groups[title] for title in titles], variant)
        words.append(f"{_shown(variant)} is the fastest{where and ' ' + where}{others}.")
    for title, found in winners.items():
        if len(found) > 1:
            names = units.listing([_shown(row.variant) for row in found])
            where = f" at {title}" if len(groups) > 1 else ""
            words.append(f"{names} cannot be told apart{where}: they are the fastest.")
    return words


def _is_only(found: Sequence[Row], variant: str) -> bool:
    return [row.variant for row in found] == [variant]


def _of(count: int, groups: int) -> str:
    if groups == 1:
        return ""
    return f"at all {groups} shapes" if count == groups else f"at {count} of {groups} shapes"


def _name_others(groups: Sequence[Sequence[Row]], winner: str) -> str:
    """How many times as long the best variant of each other module takes there."""
    best: dict[str, list[Interval]] = defaultdict(list)
    for group in groups:
        mine = next(row.module for row in group if row.variant == winner)
        for module, found in _by_module(group):
            if module != mine:
                best[module].append(min(found, key=lambda over: over.value))
    ordered = sorted(best.items(), key=lambda item: min(over.value for over in item[1]))
    words = [f"{module} takes {_range(found)} times as long" for module, found in ordered]
    return "".join(f"; {word}" for word in words[:MOST_NAMED])


def _by_module(group: Sequence[Row]) -> Iterator[tuple[str, list[Interval]]]:
    found: dict[str, list[Interval]] = defaultdict(list)
    for row in group:
        if (over := row.interval("over_fastest")) is not None:
            found[row.module].append(over)
    yield from found.items()


def _range(found: Sequence[Interval]) -> str:
    """From the lowest lower end to the highest upper end of the intervals."""
    lo, hi = min(over.lo for over in found), max(over.hi for over in found)
    return units.between(lo, hi)


def _shown(variant: str) -> str:
    """The variant as the table names it: `ge_theta(extent=4)` is ge_theta(4)."""
    return variant.replace("extent=", "")
