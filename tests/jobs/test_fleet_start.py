"""The loop of `fleet`: an engine that follows a script, and no process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from attn_bench.jobs.fleet import start
from attn_bench.jobs.fleet.engines.base import Work
from attn_bench.jobs.fleet.start import Order, Seen, run_fleet
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import Shard
from attn_bench.store.places import Unreachable

WORDS = ("work", "store/plan")
HELD = Shard("f00d", "EPYC", "one", "held", 3, 8, "se", 1.0)
DONE = replace(HELD, state="done", done=8)


@dataclass
class FakeEngine:
    """Each poll answers the next entry of `script`: the state of each `work` by its place."""

    hosts: dict[str, int]
    script: Sequence[Sequence[str]]
    started: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)
    stops: int = 0
    polls: int = 0
    counts: bool = True

    def count_hosts(self, kind: str) -> int | None:
        if not self.counts:
            return None
        if not self.hosts.get(kind):
            raise RequestError(f"no {kind} here")
        return self.hosts[kind]

    def start(self, kind: str, words: Sequence[str]) -> None:
        self.started.append((kind, tuple(words)))

    def poll(self) -> tuple[Work, ...]:
        states = self.script[min(self.polls, len(self.script) - 1)]
        self.polls += 1
        names = ("one", "two", "three", "four")
        return tuple(
            Work(kind, name, state, 0 if state == "ended" else None)  # type: ignore[arg-type]
            for (kind, _), name, state in zip(self.started, names, states, strict=False)
        )

    def give_up(self, number: int, why: str) -> None:
        self.given_up.append(number)

    def stop(self) -> None:
        self.stops += 1


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "POLL_S", 0.0)


def shards(*looks: Sequence[Shard]) -> Iterator[Sequence[Shard]]:
    yield from looks
    while True:
        yield looks[-1]


def watched(engine: FakeEngine, order: Order, *looks: Sequence[Shard]) -> list[Seen]:
    """What the table was shown."""
    seen: list[Seen] = []
    read = shards(*looks)
    run_fleet(engine, order, lambda: next(read), seen.append)
    return seen


def test_a_work_starts_on_each_host_and_the_engine_is_stopped_once() -> None:
    """Without --devices every host gets the words, and the loop ends with the last of them."""
    engine = FakeEngine({"": 2}, [["waiting", "running"], ["running", "ended"], ["ended"] * 2])
    seen = watched(engine, Order(WORDS), [])
    assert [(kind, words[:-2]) for kind, words in engine.started] == [("", WORDS)] * 2
    assert len({words[-1] for _, words in engine.started}) == 2  # each has its name
    assert (len(seen), engine.stops) == (3, 1)


def test_each_kind_has_at_most_so_many_hosts() -> None:
    """--hosts limits the hosts of a kind."""
    engine = FakeEngine({"H200": 3, "EPYC": 1}, [["ended"] * 3])
    watched(engine, Order(WORDS, ("H200", "EPYC"), most_hosts=2), [])
    assert [kind for kind, _ in engine.started] == ["H200", "H200", "EPYC"]


def test_nothing_starts_if_a_kind_has_no_host() -> None:
    """A wrong --devices ends before the first `work`."""
    engine = FakeEngine({"H200": 1}, [[]])
    with pytest.raises(RequestError, match="no EPYC here"):
        watched(engine, Order(WORDS, ("H200", "EPYC")), [])
    assert (engine.started, engine.stops) == ([], 1)


def test_a_lost_work_is_replaced_once() -> None:
    """A host of the same kind gets another `work`; the loss of that one is not replaced."""
    engine = FakeEngine({"": 1}, [["running"], ["lost"], ["lost", "running"], ["lost", "lost"]])
    seen = watched(engine, Order(WORDS), [])
    assert len(engine.started) == 2
    assert [work.state for work in seen[-1].works] == ["lost", "lost"]


def test_a_lost_work_without_another_host_ends_the_fleet() -> None:
    """Nothing waits for a host that is gone."""
    engine = FakeEngine({"": 1}, [["running"], ["lost"]])
    engine_hosts = engine.hosts

    def look() -> Sequence[Shard]:
        engine_hosts.clear()  # after the start
        return []

    seen = run_fleet(engine, Order(WORDS), look, lambda seen: None)
    assert (len(engine.started), [work.state for work in seen.works]) == (1, ["lost"])


def test_a_work_whose_beats_stop_is_given_up() -> None:
    """Its claim carries its name: that of another `work` is not this one's, also on one host."""
    script = [["running"] * 2, ["running"] * 2, ["ended"] * 2]
    for owner, given_up in ((1, [1]), (None, [])):
        engine = FakeEngine({"": 2}, script)

        def look(engine: FakeEngine = engine, owner: int | None = owner) -> Sequence[Shard]:
            name = "of yesterday" if owner is None else engine.started[owner][1][-1]
            state = "lost" if engine.polls else "held"
            return [replace(HELD, state=state, work=name)]  # type: ignore[arg-type]

        run_fleet(engine, Order(WORDS), look, lambda seen: None)
        assert engine.given_up[:1] == given_up


def test_the_fleet_does_not_wait_for_a_host_that_is_not_needed() -> None:
    """A `work` that still waits for a host when its device is measured is stopped."""
    engine = FakeEngine({"epyc": 2}, [["running", "waiting"], ["ended", "waiting"]])
    seen = watched(engine, Order(WORDS, ("epyc",)), [HELD], [DONE])
    assert ([work.state for work in seen[-1].works], engine.stops) == (["ended", "waiting"], 1)


def test_the_fleet_waits_for_a_host_of_another_kind() -> None:
    """What is measured is no reason to stop one that waits for another device, or for its host."""
    script = [["ended", "waiting"]] * 3 + [["ended", "ended"]]
    for kinds, per in ((("epyc", "h200"), "device"), (("epyc",), "host"), ((), "device")):
        engine = FakeEngine({"epyc": 2 - (per == "device"), "h200": 1, "": 2}, script)
        seen = watched(engine, Order(WORDS, kinds, per=per), [DONE])  # type: ignore[arg-type]
        assert [work.state for work in seen[-1].works] == ["ended", "ended"]


def test_an_engine_that_cannot_count_starts_what_is_asked_for() -> None:
    """SLURM's queue does not tell how many hosts there are: one, or --hosts."""
    for most, started in ((None, 1), (3, 3)):
        engine = FakeEngine({}, [["ended"] * 3], counts=False)
        watched(engine, Order(WORDS, ("h200",), most_hosts=most), [])
        assert len(engine.started) == started


def test_an_interruption_stops_the_engine() -> None:
    """Ctrl-C ends the works before it ends the command."""
    engine = FakeEngine({"": 1}, [["running"]])

    def interrupted() -> Sequence[Shard]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fleet(engine, Order(WORDS), interrupted, lambda seen: None)
    assert engine.stops == 1


def test_a_store_that_does_not_answer_for_a_moment_stops_nothing() -> None:
    """The shards are shown as they were seen last."""
    engine = FakeEngine({"": 1}, [["running"], ["running"], ["ended"]])
    looks = iter([[HELD], Unreachable("no answer"), [HELD]])

    def look() -> Sequence[Shard]:
        found = next(looks)
        if isinstance(found, Unreachable):
            raise found
        return found

    seen: list[Seen] = []
    run_fleet(engine, Order(WORDS), look, seen.append)
    assert [each.shards for each in seen] == [(HELD,)] * 3
