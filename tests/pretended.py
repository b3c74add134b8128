"""Fleets of devices that are pretended: the reference run with its ratios scaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pages import REFERENCE

from attn_bench.model.fleet import FleetPlan, Shard
from attn_bench.model.request import RunRequest
from attn_bench.model.row import Row
from attn_bench.store import runs
from attn_bench.store.fleet import DoneShard, Fleet

REFERENCE_RUN = runs.load(REFERENCE)
RATIOS = ("ratio", "ratio_lo", "ratio_hi")


def scaled(row: Row, factor: float, wider: float = 1.0) -> Row:
    """A row whose ratio is `factor` times as large, with an interval `wider` times as wide."""
    if row.ratio is None or row.ratio_lo is None or row.ratio_hi is None:
        return row
    if row.variant == "identity":
        return row
    lo, hi = (row.ratio * (end / row.ratio) ** wider for end in (row.ratio_lo, row.ratio_hi))
    return replace(
        row,
        ratio=row.ratio * factor,
        ratio_lo=lo * factor,
        ratio_hi=hi * factor,
        over_fastest=None,
        over_fastest_lo=None,
        over_fastest_hi=None,
    )


def by_module(factors: dict[str, float]) -> Callable[[Row], Row]:
    """Scale the ratios of these modules."""
    return lambda row: scaled(row, factors.get(row.module, 1.0))


def shard(
    device: str,
    host: str,
    change: Callable[[Row], Row] = lambda row: row,
    rows: Sequence[Row] = tuple(REFERENCE_RUN.rows),
) -> DoneShard:
    """A measured shard with the rows of the reference run, changed."""
    facts = Shard(f"f{host}", device, host, "done", len(rows), len(rows), "", None)
    return DoneShard(facts, REFERENCE_RUN.info, tuple(map(change, rows)))


def fleet(
    *shards: DoneShard, unfinished: Sequence[Shard] = (), missing: Sequence[str] = ()
) -> Fleet:
    """A fleet of the reference run's suite."""
    suite = shards[0].info.suite if shards else REFERENCE_RUN.info.suite
    plan = FleetPlan(suite=suite, request=RunRequest(suite.name), code="0", version="0")
    return Fleet(plan, shards, tuple(unfinished), tuple(missing))
