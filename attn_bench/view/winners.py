"""Who is the fastest, in one or two sentences, decided by direct comparison."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from attn_bench.model import units
from attn_bench.model.case import BASELINE
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
    alone = Counter(_shown(found[0]) for found in winners.values() if len(found) == 1)
    words = []
    for winner, count in alone.most_common():
        titles = [title for title, found in winners.items() if list(map(_shown, found)) == [winner]]
        where = f"at {titles[0]}" if count == 1 and len(groups) > 1 else _of(count, len(groups))
        others = _name_others([groups[title] for title in titles], winner)
        words.append(f"{winner} is the fastest{where and ' ' + where}{others}.")
    for title, found in winners.items():
        if len(found) > 1:
            names = units.listing(list(map(_shown, found)))
            where = f" at {title}" if len(groups) > 1 else ""
            words.append(f"{names} cannot be told apart{where}: they are the fastest.")
    return words


def _of(count: int, groups: int) -> str:
    if groups == 1:
        return ""
    return f"at all {groups} shapes" if count == groups else f"at {count} of {groups} shapes"


def _name_others(groups: Sequence[Sequence[Row]], winner: str) -> str:
    """How many times as long the best variant of each other module takes there."""
    best: dict[str, list[Row]] = defaultdict(list)
    for group in groups:
        mine = next(row.module for row in group if _shown(row) == winner)
        by_module: dict[str, list[Row]] = defaultdict(list)
        for row in group:
            if row.module != mine and row.over_fastest is not None:
                by_module[row.module].append(row)
        for module, rows in by_module.items():
            best[module].append(min(rows, key=lambda row: row.over_fastest or 0.0))
    ordered = sorted(best.values(), key=lambda rows: min(row.over_fastest or 0.0 for row in rows))
    return "".join(f"; {_say_range(rows)}" for rows in ordered[:MOST_NAMED])


def _say_range(rows: Sequence[Row]) -> str:
    """From the lowest lower end to the highest upper end of the intervals."""
    names = {_shown(row) for row in rows}
    name = names.pop() if len(names) == 1 else f"the best {rows[0].module}"
    intervals = [over for row in rows if (over := row.interval("over_fastest"))]
    lo, hi = min(over.lo for over in intervals), max(over.hi for over in intervals)
    return f"{name} takes {units.between(lo, hi)} times as long"


def _shown(row: Row) -> str:
    """The variant as the table names it: name and extent."""
    return row.name if row.extent is None else f"{row.name}({row.extent})"
