"""Simulates the claims of a fleet: the real code over a pretended store, on a virtual clock.

    python benchmarks/fleet_claims.py [--hosts 5000] [--seed 0] [--broken]

Hosts crash and come back, stall for longer than their lease, and write slowly; answers of the store
get lost; each host's clock has an offset of up to a year and runs up to 0.1 % too fast or too slow.
Every request takes time, and takes effect in between, so that requests of hosts interleave. Prints
a table, and what 10,000 hosts and 10,000,000 rows cost. Status 1: a shard was not measured, or had
two valid owners. --broken: a store whose `create` looks first and then writes; it must fail.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from greenlet import getcurrent, greenlet

from attn_bench.model.fleet import BEATS, LEASE_S
from attn_bench.store.claims import Beat, LostClaim, Observer, Owner, claim
from attn_bench.store.places import Place

MEASURING_S = 600.0  # of a shard
DRIFT = 1e-3  # of a clock
DOLLARS = {"put": 5e-6, "list": 5e-6, "get": 4e-7}  # a request at Amazon S3, list price of 2025
PAGE = 1000  # keys in one answer of a listing


@dataclass
class Scenario:
    """hosts share the shards evenly. crash_s, stall_s: the mean time between two of a host."""

    name: str
    hosts: int
    shards: int
    crash_s: float
    stall_s: float


class World:
    """Greenlets that sleep on one virtual clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._heap: list[tuple[float, int, greenlet]] = []
        self._number = itertools.count()
        self._hub = getcurrent()

    def start(self, function: Callable[[], None], after_s: float) -> greenlet:
        one = greenlet(function, self._hub)
        self._push(one, after_s)
        return one

    def sleep(self, seconds: float) -> None:
        self._push(getcurrent(), seconds)
        self._hub.switch()

    def run(self) -> None:
        while self._heap:
            self.now_s, _, one = heapq.heappop(self._heap)
            if not one.dead:
                one.switch()

    def _push(self, one: greenlet, seconds: float) -> None:
        heapq.heappush(self._heap, (self.now_s + seconds, next(self._number), one))


class Crash(BaseException):
    """The host is gone."""


@dataclass
class Server:
    """The objects of a store, and what it sees of the protocol.

    is_broken: whether `create` is not exclusive.
    """

    is_broken: bool = False
    shards: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    requests: Counter[str] = field(default_factory=Counter)
    alive_at: dict[tuple[str, int], float] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    def created(self, shard: str, epoch: int, now_s: float) -> None:
        """Check a new claim against the last sign of life of the owner before."""
        before = (shard, epoch - 1)
        is_released = f"{epoch - 1:06d}/released" in self.shards[shard]
        if epoch > 1 and not is_released:
            self.seen["takeovers"] += 1
            if now_s - self.alive_at[before] < LEASE_S * (1 - 2 * DRIFT):
                self.seen["taken alive"] += 1
        if epoch != self.newest.get(shard, 0) + 1:
            self.seen["two owners"] += 1
        self.newest[shard] = epoch
        self.alive_at[shard, epoch] = now_s

    def written(self, shard: str, name: str, now_s: float) -> None:
        folder, _, file = name.partition("/")
        epoch = int(folder)
        if epoch != self.newest[shard]:
            self.seen["fenced writes"] += 1
        if file == "beat":
            self.alive_at[shard, epoch] = now_s


class Wire(Place):
    """A host's way to the server; a request takes effect while the host waits."""

    def __init__(self, world: World, server: Server, random: Random, slow: float) -> None:
        super().__init__("pretended")
        self._world, self._server, self._random, self._slow = world, server, random, slow

    def at(self, folder: str) -> Place:
        raise NotImplementedError

    def create(self, key: str, content: bytes) -> bool:
        shard, name = self._ask("put", key)
        objects = self._server.shards[shard]
        is_new = name not in objects
        if self._server.is_broken:
            self._wait()
        if is_new:
            objects[name] = content
            self._server.created(shard, int(name[-11:-5]), self._world.now_s)
        self._wait()
        if is_new and self._random.random() < 0.01:  # the answer is lost, and the library repeats
            self._server.seen["lost answers"] += 1
            return self.create(key, content)
        return is_new

    def put(self, key: str, content: bytes) -> None:
        shard, name = self._ask("put", key)
        self._server.shards[shard][name] = content
        self._server.written(shard, name, self._world.now_s)
        self._wait()

    def get(self, key: str, most: int = 0) -> bytes | None:
        shard, name = self._ask("get", key)
        found = self._server.shards[shard].get(name)
        self._wait()
        return found

    def find(self, folder: str) -> list[str]:
        shard, _ = self._ask("list", folder + "/")
        found = [f"{folder}/{name}" for name in self._server.shards[shard]]
        self._wait()
        return found

    def list_folders(self) -> list[str]:
        raise NotImplementedError

    def remove(self, key: str) -> None:
        raise NotImplementedError

    def _ask(self, kind: str, key: str) -> tuple[str, str]:
        self._server.requests[kind] += 1
        self._wait()
        _, shard, name = key.split("/", 2)
        return shard, name

    def _wait(self) -> None:
        """Half a request: 15 ms in the median; of a slow host, now and then longer than a lease."""
        seconds = 0.015 * self._random.lognormvariate(0, 0.5)
        if self._random.random() < self._slow:
            seconds = self._random.uniform(1, 2 * LEASE_S)
        self._world.sleep(seconds)


class Host:
    """A host that works on its shard until that is done, as `work` does."""

    def __init__(self, world: World, server: Server, scenario: Scenario, number: int) -> None:
        self._random = Random(f"{scenario.name} {number} {world.now_s}")
        self._world, self._server, self._scenario = world, server, scenario
        self._number, self._shard = number, f"{number % scenario.shards:06d}"
        slow = 0.02 if self._random.random() < 0.05 else 0.0
        self._place = Wire(world, server, self._random, slow)
        rate, offset = 1 + self._random.uniform(-DRIFT, DRIFT), self._random.uniform(0, 3e7)
        clock = lambda: offset + rate * world.now_s  # noqa: E731
        self._observer = Observer(self._place, LEASE_S, clock)
        self._crash_at = world.now_s + self._random.expovariate(1 / scenario.crash_s)

    def live(self) -> None:
        try:
            while not self._is_done():
                held = claim(self._place, self._observer, self._shard, Owner(f"{self._number}"))
                if held is None:
                    continue
                self._server.seen[f"owner of {self._shard} {held.epoch}"] += 1
                try:
                    self._measure(held)
                    return
                except LostClaim:
                    self._server.seen["late owners"] += 1
        except Crash:
            self._server.seen["crashes"] += 1
            again = Host(self._world, self._server, self._scenario, self._number)
            again._crash_at += 60
            self._world.start(again.live, self._random.uniform(60, 600))

    def _is_done(self) -> bool:
        while (seen := self._observer.look(self._shard)).state == "held":
            self._sleep(LEASE_S / BEATS * self._random.uniform(0.5, 1))
        return seen.state == "done"

    def _measure(self, held) -> None:
        """Go on with what earlier owners uploaded, one part for each beat."""
        parts = self._earlier_parts(held.epoch)
        held.put("begun.json", b"{}")
        needed = round(MEASURING_S / (LEASE_S / BEATS))
        for part in range(needed):
            if part >= parts:
                self._sleep(LEASE_S / BEATS)
            held.beat(Beat(done=part))
            held.put(f"journal-{part:06d}.jsonl", b"")
        held.check()
        for name in ("samples.parquet", "table.parquet", "run.json"):
            held.put(name, b"")

    def _earlier_parts(self, epoch: int) -> int:
        names = [key.split("/", 2)[2] for key in self._place.find(f"shards/{self._shard}")]
        counts = Counter(name[:6] for name in names if "/journal-" in name)
        return next((counts[e] for n in range(epoch - 1, 0, -1) if (e := f"{n:06d}") in counts), 0)

    def _sleep(self, seconds: float) -> None:
        """Sleep, stall now and then for longer than a lease, and crash when the time has come."""
        if self._random.random() < seconds / self._scenario.stall_s:
            self._server.seen["stalls"] += 1
            seconds += self._random.uniform(0.5, 3) * LEASE_S
        if self._world.now_s + seconds >= self._crash_at:
            self._world.sleep(max(0.0, self._crash_at - self._world.now_s))
            raise Crash
        self._world.sleep(seconds)


def simulate(scenario: Scenario, seed: int, *, is_broken: bool) -> tuple[Server, float]:
    world, server = World(), Server(is_broken)
    random = Random(seed)
    for number in range(scenario.hosts):
        host = Host(world, server, scenario, number + seed * scenario.hosts)
        world.start(host.live, random.uniform(0, 0.1))  # as those of a job array
    world.run()
    return server, world.now_s


def verdict(scenario: Scenario, server: Server) -> dict[str, int]:
    """What must be 0."""
    done = sum(
        any(name.endswith("/run.json") for name in objects) for objects in server.shards.values()
    )
    several = sum(n > 1 for what, n in server.seen.items() if what.startswith("owner of "))
    return {"not done": scenario.shards - done, "two owners": server.seen["two owners"] + several}


def scenarios(hosts: int) -> list[Scenario]:
    hour = 3600.0
    return [
        Scenario("each host for itself", hosts, hosts, 4 * hour, 4 * hour),
        Scenario("20 hosts a device", hosts, max(1, hosts // 20), hour, hour),
        Scenario("all for one shard", min(hosts, 500), 1, 0.1 * hour, 0.1 * hour),
        Scenario("a storm of crashes", hosts, max(1, hosts // 4), 0.2 * hour, 0.2 * hour),
    ]


# taken alive: the owner beat again while the request of its successor was on its way.
COLUMNS = (
    *("takeovers", "taken alive", "crashes", "stalls"),
    *("late owners", "fenced writes", "lost answers"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--broken", action="store_true")
    wanted = parser.parse_args()
    heads = ("scenario", "hosts", "shards", "not done", "two owners", *COLUMNS)
    kinds = ("put", "get", "list")
    print("| " + " | ".join([*heads, *(f"{kind} a shard" for kind in kinds), "hours"]) + " |")
    print("|---" * (len(heads) + 4) + "|")
    is_wrong = False
    for scenario in scenarios(wanted.hosts):
        server, seconds = simulate(scenario, wanted.seed, is_broken=wanted.broken)
        found = verdict(scenario, server)
        is_wrong |= any(found.values())
        cells = [scenario.name, scenario.hosts, scenario.shards, *found.values()]
        cells += [server.seen[name] for name in COLUMNS]
        cells += [f"{server.requests[kind] / scenario.shards:.0f}" for kind in kinds]
        print("| " + " | ".join(map(str, [*cells, f"{seconds / 3600:.1f}"])) + " |", flush=True)
        if scenario.hosts == scenario.shards:
            a_shard = {kind: server.requests[kind] / scenario.shards for kind in kinds}
            objects = sum(map(len, server.shards.values())) / scenario.shards
    extrapolate(a_shard, objects)
    return int(is_wrong)


def extrapolate(a_shard: dict[str, float], objects: float) -> None:
    """10,000 hosts with a shard of 1,000 rows each."""
    hosts = 10_000
    cost = sum(hosts * DOLLARS[kind] * count for kind, count in a_shard.items())
    rate = hosts * sum(a_shard.values()) / MEASURING_S
    pages = hosts * objects / PAGE
    gets = 4 * hosts  # claim, beat, table.parquet and run.json of each shard
    merge = pages * DOLLARS["list"] + gets * DOLLARS["get"]
    print(f"\n10,000 hosts, 10,000 shards, 10,000,000 rows, {MEASURING_S:g} s a shard:")
    print(
        f"claims and uploads: {hosts * sum(a_shard.values()):,.0f} requests, {rate:,.0f} a second"
    )
    print(f"their price: {cost:.2f} dollars; objects: {hosts * objects:,.0f}")
    print(f"one look at all shards, or a merge's listing: {pages:,.0f} requests, one after another")
    print(f"merge: {gets:,} further requests, {merge:.2f} dollars")


if __name__ == "__main__":
    raise SystemExit(main())
