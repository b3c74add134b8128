"""A fleet as its store holds it: plan.json, and a shard for each device."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from attn_bench._version import __version__
from attn_bench.catalog import code
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import FleetPlan, Shard
from attn_bench.model.request import RunRequest, check_request
from attn_bench.model.row import Row
from attn_bench.model.suite import Suite
from attn_bench.store.claims import Beat, Observer, Owner, Seen, read_beat, read_owner
from attn_bench.store.info import RunInfo
from attn_bench.store.places import Place, Unreachable, open_place
from attn_bench.store.reading import parse_json, read_record
from attn_bench.store.shards import read_done_run

PLAN = "plan.json"
SCHEMA = 1
LARGEST_PLAN = 2**24  # bytes
NAME_DIGITS = 12
NAMED = re.compile(rf".*-[0-9a-f]{{{NAME_DIGITS}}}")  # a plan's folder


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
    damaged: shards that are measured but cannot be read, with the reason.
    """

    plan: FleetPlan
    done: tuple[DoneShard, ...]
    unfinished: tuple[Shard, ...]
    missing: tuple[str, ...]
    damaged: tuple[tuple[Shard, str], ...] = ()


# --- plans ------------------------------------------------------------------------------------


def create_plan(store: Place, plan: FleetPlan) -> tuple[Place, FleetPlan]:
    """The folder of a plan, which is written unless it exists, and the plan in it."""
    text = json.dumps({"schema": SCHEMA, **asdict(plan)}, indent=2, ensure_ascii=False)
    content = text.encode(errors="backslashreplace")
    plan = _parse_plan(content)  # as every reader has it
    place = store.at(name_plan(plan))
    return place, plan if place.create(PLAN, content) else read_plan(place)


def name_plan(plan: FleetPlan) -> str:
    """The name of a plan's folder; the same suite, settings and code have the same name."""
    facts = [_same_everywhere(plan.suite), _same_everywhere(plan.request), plan.code]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{plan.suite.name}-{digest[:NAME_DIGITS]}"


def _same_everywhere(value: Suite | RunRequest) -> dict[str, Any]:
    """What does not depend on the host: the paths of the suite's file do."""
    left_out = ("source",) if isinstance(value, Suite) else ("suite", "command", "out", "wait")
    return {name: each for name, each in asdict(value).items() if name not in left_out}


def read_plan(place: Place) -> FleetPlan:
    """The plan in its folder. Raises RequestError if it is missing or damaged."""
    content = place.get(PLAN, LARGEST_PLAN)
    name = f"{place.name}/{PLAN}"
    if content is None:
        raise RequestError(f"{name}: is missing")
    try:
        plan = _parse_plan(content)
        folder = place.name.rpartition("/")[2]
        # Another version may have more settings, and so another name for the same plan.
        own = name_plan(plan)
        if plan.version == __version__ and NAMED.fullmatch(folder) and folder != own:
            raise RequestError(f"its content is not that of its folder's name, but that of {own}")
    except RequestError as error:
        raise RequestError(f"{name}: {error}") from None
    return plan


def _parse_plan(content: bytes) -> FleetPlan:
    """The plan in its file's content. Raises RequestError."""
    raw = parse_json(content)
    if not isinstance(raw, dict) or raw.pop("schema", None) != SCHEMA:
        raise RequestError("this version reads schema 1 only")
    plan = read_record(raw, FleetPlan, whole=True)
    check_request(plan.request)
    if "/" in plan.suite.name:
        raise RequestError(f"suite.name is {plan.suite.name!r}, and must be a file's name")
    if plan.code != code.hash_of(plan.sources):
        raise RequestError("its code is not the hash of its sources")
    return replace(plan, request=replace(plan.request, command=(), out=None, wait=False))


def list_plans(store: str) -> list[Place]:
    """The folders of all plans: STORE is one itself, or has them."""
    place = open_place(store)
    if place.get(PLAN, LARGEST_PLAN) is not None:
        return [place]
    folders = [place.at(name) for name in place.list_folders()]
    return [folder for folder in folders if folder.get(PLAN, LARGEST_PLAN) is not None]


def open_plan(store: str) -> Place:
    """The folder of the only plan of STORE. Raises RequestError if it has none or several."""
    found = list_plans(store)
    if not found:
        raise RequestError(f"{open_place(store).name}: has no plan: `work` with --suite makes one")
    if len(found) > 1:
        names = ", ".join(place.name for place in found)
        raise RequestError(
            f"{open_place(store).name}: has several plans; name one: {names}"
            f"{_say_what_differs(found)}"
        )
    return found[0]


def _say_what_differs(places: Sequence[Place]) -> str:
    """In what plans of one suite differ: settings, with their values, or the code."""
    try:
        plans = [read_plan(place) for place in places]
    except RequestError:
        return ""
    requests = [_same_everywhere(plan.request) for plan in plans]
    suites = [_same_everywhere(plan.suite) for plan in plans]
    if suites != suites[:1] * len(suites):
        return ""
    found = []
    for name in requests[0]:
        values = [_shown(request[name]) for request in requests]
        if len({*values}) > 1:
            found.append(f"{name} {', '.join(values)}")
    if len({plan.code for plan in plans}) > 1:
        found.append("the code")
    return f" (they differ in {'; '.join(found)})" if found else ""


# --- shards -----------------------------------------------------------------------------------


class Watcher:
    """Looks at all shards of a plan again and again."""

    def __init__(
        self, place: Place, plan: FleetPlan, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._place = place
        self._observer = Observer(place, plan.lease_s, clock)
        self._owners: dict[tuple[str, int], Owner] = {}
        self._last_beats: dict[tuple[str, int], Beat] = {}  # of what is done

    def look(self) -> tuple[Shard, ...]:
        """Every shard that was ever claimed, by name. A silent owner's is `lost` after a lease."""
        return tuple(self._describe(name, one) for name, one in self._look())

    def look_closely(self) -> list[tuple[Shard, int]]:
        """The shards with their finished epochs, 0 without one.

        What is finished counts as done, also while another try is under way.
        """
        return [
            (self._describe(name, Seen("done", at, done_epoch=at) if at else one), at)
            for name, one in self._look()
            for at in (one.done_epoch,)
        ]

    def _look(self) -> list[tuple[str, Seen]]:
        return [each for each in sorted(self._observer.look_at_all().items()) if each[1].epoch]

    def _describe(self, name: str, seen: Seen) -> Shard:
        at = (name, seen.done_epoch if seen.state == "done" else seen.epoch)
        if at not in self._owners:
            self._owners[at] = read_owner(self._place, *at)
        beat = seen.beat or Beat()
        if seen.state == "done":
            if at not in self._last_beats:
                self._last_beats[at] = read_beat(self._place, *at) or beat
            beat = self._last_beats[at]
        owner = self._owners[at]
        return Shard(
            name,
            owner.device,
            owner.host,
            seen.state,
            beat.done,
            beat.total,
            beat.doing,
            seen.age_s,
            beat.left_s,
            owner.work,
        )


def read_fleet(store: str) -> Fleet:
    """The fleet of STORE, or of STORE/<plan> if the store has several plans.

    Raises RequestError if no shard can be read, if they differ in code or settings, or if several
    plans could be meant. A first look sees no owner as lost.
    """
    place = open_plan(store)
    plan = read_plan(place)
    shards = Watcher(place, plan).look_closely()
    unfinished = tuple(shard for shard, _ in shards if shard.state != "done")
    missing = find_missing(plan, [shard for shard, _ in shards])
    damaged: list[tuple[Shard, str]] = []
    done = tuple(read_done(place, plan, shards, damaged))
    if damaged and not done:
        raise RequestError(damaged[0][1])
    return Fleet(plan, done, unfinished, missing, tuple(damaged))


def find_missing(plan: FleetPlan, shards: list[Shard]) -> tuple[str, ...]:
    """The expected devices without a shard."""
    there = [shard.device.lower() for shard in shards]
    return tuple(word for word in plan.devices if not any(word.lower() in one for one in there))


def read_done(
    place: Place,
    plan: FleetPlan,
    shards: list[tuple[Shard, int]],
    damaged: list[tuple[Shard, str]] | None = None,
) -> Iterator[DoneShard]:
    """The shards that are done, one after the other.

    damaged: gets those that cannot be read, with the reason; without it they are errors.
    Raises RequestError if one is damaged, or was measured with other code or settings.
    """
    for shard, epoch in shards:
        if shard.state == "done":
            try:
                stored = read_done_run(place, plan, shard.name, epoch)
            except Unreachable:
                raise
            except RequestError as error:
                if damaged is None:
                    raise
                damaged.append((shard, str(error)))
                continue
            _complain_if_mixed(place, plan, shard, stored.info)
            yield DoneShard(shard, stored.info, tuple(stored.rows))


def _complain_if_mixed(place: Place, plan: FleetPlan, shard: Shard, info: RunInfo) -> None:
    """Raise RequestError if a run has other code or settings than the plan."""
    where = f"{place.name}: the shard {shard.name} ({shard.host})"
    known = {name: info.sources[name] for name in plan.sources if name in info.sources}
    changed = code.first_difference(plan.sources, known)
    if changed is not None:
        raise RequestError(
            f"{where} measured another version of {code.shown(changed)}: "
            f"{known.get(changed, 'none')}, and the plan has {plan.sources[changed]}"
        )
    pairs: tuple[tuple[Any, Any], ...] = ((plan.suite, info.suite), (plan.request, info.request))
    for wanted, found in pairs:
        then = _same_everywhere(wanted)
        now = _same_everywhere(found) if found is not None else {}
        for name, value in then.items():
            if now.get(name) != value:
                raise RequestError(
                    f"{where} was measured with {name} {_shown(now.get(name))}, and the plan has "
                    f"{_shown(value)}"
                )


def _shown(value: Mapping[str, Any] | Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
