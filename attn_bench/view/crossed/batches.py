"""The same modules at several batch sizes: what they cost at each, and where that is little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from attn_bench.jobs.recommend.limits import known_interval
from attn_bench.model import units
from attn_bench.model.case import PLAIN
from attn_bench.model.row import Row
from attn_bench.view.crossed.table import Crossed, name_module, show_ratio
from attn_bench.view.summary import group_title

LITTLE = 0.05  # of the plain network's latency
IN_WORDS = f"{LITTLE * 100:g} %"
NOWHERE, EVERYWHERE, UNDECIDED = "none", "all", "undecided"
ByBatch = Mapping[int, Row]


def group_by_batch(rows: Sequence[Row]) -> dict[str, dict[str, dict[int, Row]]]:
    """The rows with a ratio: title of a shape or network -> module -> batch size -> row.

    Only those of several batch sizes.
    """
    groups: dict[str, dict[str, dict[int, Row]]] = {}
    for row in rows:
        if known_interval(row, "ratio") is not None:
            modules = groups.setdefault(_title(row), {})
            modules.setdefault(name_module(row), {})[row.batch] = row
    return {
        title: modules
        for title, modules in groups.items()
        if len({batch for by_batch in modules.values() for batch in by_batch}) > 1
    }


def cross(rows: Sequence[Row], baseline: str) -> Iterator[Crossed]:
    """A table for each shape or network with ratios at several batch sizes."""
    for title, modules in group_by_batch(rows).items():
        yield _cross(title, modules, baseline)


def _title(row: Row) -> str:
    """The title of the group without its batch size."""
    title = group_title(replace(row, batch=1))
    return title.replace("1×", "", 1)


def _cross(title: str, modules: Mapping[str, ByBatch], baseline: str) -> Crossed:
    batches = sorted({batch for by_batch in modules.values() for batch in by_batch})
    first = next(iter(modules.values()))
    is_network = next(iter(first.values())).backbone is not None
    lines: list[tuple[str, ...]] = []
    where: dict[str, str] = {}
    for name, by_batch in modules.items():
        if next(iter(by_batch.values())).variant in (baseline, PLAIN):
            cells = [_show_throughput(by_batch.get(batch)) for batch in batches]
            lines.insert(0, (f"{name}, images/s", *cells, *([""] if is_network else [])))
            continue
        cells = [show_ratio(by_batch.get(batch)) for batch in batches]
        if is_network:
            where[name] = find_little(by_batch)
            cells.append(where[name])
        lines.append((name, *cells))
    headings = ["module", *map(str, batches)]
    of = f"× {baseline}"
    if is_network:
        headings.append(f"below +{IN_WORDS}")
        of = "latency"
    return Crossed(
        f"{title}: {of} at each batch size",
        tuple(headings),
        tuple(lines),
        tuple(_say(title.partition(" ")[0], where)),
    )


def _show_throughput(row: Row | None) -> str:
    interval = row.interval("images_per_s") if row else None
    return units.with_interval(interval.times(1) if interval else None)


def find_little(by_batch: ByBatch) -> str:
    """The batch sizes at which a module certainly adds less than LITTLE to its network.

    "from 8": at 8 and all larger ones, and certainly not at the size before. "from 8 or less": that
    size is undecided.
    """
    batches = sorted(by_batch)
    is_little = {batch: _is_little(by_batch[batch]) for batch in batches}
    known = list(is_little.values())
    if all(known):
        return EVERYWHERE
    if all(each is False for each in known):
        return NOWHERE
    from_, upto = _run_of_true(known[::-1]), _run_of_true(known)
    if from_ and True not in known[:-from_]:
        unsure = " or less" if known[-from_ - 1] is None else ""
        return f"from {batches[-from_]}{unsure}"
    if upto and True not in known[upto:]:
        unsure = " or more" if known[upto] is None else ""
        return f"up to {batches[upto - 1]}{unsure}"
    return UNDECIDED


def _is_little(row: Row) -> bool | None:
    """Whether the module adds less than LITTLE; None if the interval leaves it open."""
    ratio = known_interval(row, "ratio")
    assert ratio is not None
    if ratio.hi < 1 + LITTLE:
        return True
    return False if ratio.lo > 1 + LITTLE else None


def _run_of_true(known: Sequence[bool | None]) -> int:
    """The number of True at the beginning."""
    return next((i for i, each in enumerate(known) if not each), len(known))


def _say(network: str, where: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each answer, with the modules that have it."""
    names: dict[str, list[str]] = {}
    for name, found in where.items():
        names.setdefault(found, []).append(name)
    for found, modules in names.items():
        verb = "adds" if len(modules) == 1 else "add"
        words = f"{units.listing(modules)} {verb} less than {IN_WORDS} to {network}"
        if found == EVERYWHERE:
            yield f"{words} at every batch size"
        elif found == NOWHERE:
            yield f"{words.replace('less', 'more')} at every batch size"
        elif found != UNDECIDED:
            yield f"{words} at batch sizes {found}"
