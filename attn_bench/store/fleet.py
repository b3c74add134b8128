"""A fleet as its store holds it: plan.json, and a shard for each device."""

from __future__ import annotations

from dataclasses import dataclass

from attn_bench.model.fleet import FleetPlan, Shard
from attn_bench.model.row import Row
from attn_bench.store.info import RunInfo


@dataclass(frozen=True)
class DoneShard:
    """A shard that is measured: its run as its newest owner wrote it."""

    shard: Shard
    info: RunInfo
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Fleet:
    """The shards of one plan.

    missing: the expected devices of the plan without a shard.
    """

    plan: FleetPlan
    done: tuple[DoneShard, ...]
    unfinished: tuple[Shard, ...]
    missing: tuple[str, ...]


def read_fleet(store: str) -> Fleet:
    """The fleet of STORE, or of STORE/<plan> if the store has several plans.

    Raises RequestError if a file is damaged, or if several plans could be meant.
    """
    raise NotImplementedError(store)
