"""The job of `fleet`: a `work` on each host, watched until nothing is left to do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from attn_bench.engine.signals import Interruptible
from attn_bench.jobs.fleet.engines.base import Engine, Work
from attn_bench.jobs.fleet.engines.local import LocalEngine
from attn_bench.jobs.fleet.engines.ray import RayEngine
from attn_bench.jobs.fleet.engines.slurm import SlurmEngine
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import Per, Shard
from attn_bench.model.status import Exit
from attn_bench.store.places import Unreachable

POLL_S = 1.0
ENGINES = ("local", "ray", "slurm")


def make_engine(name: str, lease_s: float, slurm: Mapping[str, str]) -> Engine:
    """The engine with this name. Raises RequestError if it cannot be used here.

    slurm: options of sbatch.
    """
    if slurm and name != "slurm":
        raise RequestError(f"--slurm is for --engine slurm, not for --engine {name}")
    if name == "ray":
        return RayEngine(lease_s)
    return SlurmEngine(slurm) if name == "slurm" else LocalEngine()


@dataclass(frozen=True)
class Order:
    """What is started.

    words: the command line of each `work`.
    devices: the kinds of hosts; empty takes all that the engine has.
    most_hosts: of each kind; None takes all.
    per: what a shard belongs to.
    """

    words: tuple[str, ...]
    devices: tuple[str, ...] = ()
    most_hosts: int | None = None
    per: Per = "device"


@dataclass(frozen=True)
class Seen:
    """A fleet at one moment."""

    works: tuple[Work, ...]
    shards: tuple[Shard, ...]


def run_fleet(
    engine: Engine,
    order: Order,
    look: Callable[[], Sequence[Shard]],
    show: Callable[[Seen], None],
) -> Seen:
    """Start the works, and watch them to their end. Raises RequestError.

    look: reads the shards from the store. show: is called after each look.
    An interruption ends all works, which release their claims.
    """
    crew = _Crew(engine, order)
    shards: tuple[Shard, ...] = ()
    with Interruptible() as signals:
        try:
            crew.start()
            while True:
                with suppress(Unreachable):  # the works measure on without the store, too
                    shards = tuple(look())
                seen = Seen(engine.poll(), shards)
                show(seen)
                crew.give_up_silent(seen)
                if not crew.replace_lost(seen) and _is_over(seen, order.per):
                    return seen
                time.sleep(POLL_S)
        finally:
            signals.deafen()
            engine.stop()


def _is_over(seen: Seen, per: Per) -> bool:
    """Whether nothing is left: those that wait for a host would find their device measured."""
    done = [shard.device.lower() for shard in seen.shards if shard.state == "done"]
    left = [work for work in seen.works if not work.is_over]
    return all(
        work.state == "waiting"
        and per == "device"
        and work.kind
        and any(work.kind.lower() in device for device in done)
        for work in left
    )


class _Crew:
    """The works of a fleet, which are replaced once if their hosts are lost."""

    def __init__(self, engine: Engine, order: Order) -> None:
        self._engine, self._order = engine, order
        self._first: Counter[str] = Counter()
        self._replaced: Counter[str] = Counter()
        self._names: list[str] = []  # of the works, in the order of their starts

    def start(self) -> None:
        counts = {kind: self._engine.count_hosts(kind) for kind in self._order.devices or ("",)}
        for kind, hosts in counts.items():
            most = self._order.most_hosts
            self._first[kind] = (most or 1) if hosts is None else min(hosts, most or hosts)
            for _ in range(self._first[kind]):
                self._start(kind)

    def _start(self, kind: str) -> None:
        name = uuid4().hex
        self._engine.start(kind, (*self._order.words, "--name", name))
        self._names.append(name)

    def give_up_silent(self, seen: Seen) -> None:
        """Kill each `work` that has let its lease expire."""
        silent = {shard.work for shard in seen.shards if shard.state == "lost"}
        for number, (work, name) in enumerate(zip(seen.works, self._names, strict=True)):
            if work.state == "running" and name in silent:
                self._engine.give_up(number, "its beats in the store stopped")

    def replace_lost(self, seen: Seen) -> bool:
        """Start another `work` for each that was lost or interrupted, if a host is left."""
        lost = Counter(
            work.kind
            for work in seen.works
            if work.state == "lost" or work.status == Exit.INTERRUPTED
        )
        has_started = False
        for kind, number in lost.items():
            while self._replaced[kind] < min(number, self._first[kind]):
                self._replaced[kind] += 1
                with suppress(RequestError):  # no such host is left
                    self._engine.count_hosts(kind)
                    self._start(kind)
                    has_started = True
        return has_started
