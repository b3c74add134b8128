"""The job of `work`: measure, on this host, the shards of a store that belong to its device."""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from attn_bench.engine.progress import Progress
from attn_bench.engine.run import Finished, environment_of, exit_status
from attn_bench.engine.session import OpenSession, open_session
from attn_bench.jobs.fleet.plans import (
    PlanRequest,
    complain_of_code,
    complain_of_plan,
    make_plan,
    name_shard,
)
from attn_bench.jobs.fleet.shard import NotUploaded, measure_shard
from attn_bench.jobs.run import files_of
from attn_bench.model.environment import device_in_words
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import BEATS, FleetPlan
from attn_bench.model.row import Row
from attn_bench.model.status import Exit
from attn_bench.store.claims import LostClaim, Observer, Owner, Seen, claim
from attn_bench.store.fleet import list_plans, read_plan
from attn_bench.store.info import State
from attn_bench.store.places import Place, Unreachable, open_place
from attn_bench.store.shards import read_done_run

WORSE = (Exit.GOOD, Exit.UNDECIDED, Exit.NOT_MEASURED)


@dataclass(frozen=True)
class WorkRequest:
    """The work of a host.

    plan: to make and to work on; None works on all plans of the store.
    modules_from: the users' files that a stored plan may load.
    again: whether a finished shard is measured again if it lacks times, or is damaged.
    name: that a `fleet` gave to this process; its claims carry it.
    """

    store: str
    plan: PlanRequest | None = None
    modules_from: tuple[str, ...] = ()
    again: bool = False
    name: str = ""


@dataclass(frozen=True)
class Done:
    """What a shard has when this host is through with it.

    is_new: whether this host has measured it now.
    trouble: why measuring ended early; None if it did not.
    """

    place: Place
    shard: str
    rows: tuple[Row, ...]
    state: State
    is_new: bool = False
    trouble: str | None = None

    @property
    def exit_status(self) -> Exit:
        return exit_status(self.rows, self.state)


def work(request: WorkRequest, progress: Progress, tell: Callable[[Done], None]) -> Exit:
    """Work until nothing is left that this host can do. Raises RequestError.

    tell: is called after each shard.
    """
    store = open_place(request.store)
    if request.plan is not None:
        place, plan = make_plan(store, request.plan, progress, is_here=True)
        places, named = [place], files_of(plan.request, plan.suite)  # as the user gave them
    else:
        places, named = list_plans(request.store), [*request.modules_from]
        if not places:
            raise RequestError(f"{store.name}: has no plan: --suite NAME makes one")
        store.probe()
    found = [Exit.GOOD]
    wrong: list[RequestError] = []
    for place in places:
        try:
            plan = read_plan(place)
            complain_of_plan(place, plan, named)
            done = _Host(place, plan, request, progress).work()
        except Unreachable as error:
            raise NotUploaded(str(error)) from None
        except RequestError as error:  # the other plans are worked on
            wrong.append(error)
            continue
        tell(done)
        found.append(done.exit_status)
        if done.exit_status == Exit.INTERRUPTED:
            return Exit.INTERRUPTED
    if wrong:
        more = f"; {len(wrong) - 1} more plans were not worked on" if len(wrong) > 1 else ""
        raise RequestError(f"{wrong[0]}{more}")
    return max(found, key=WORSE.index)


class _Host:
    """This host at one plan."""

    def __init__(
        self, place: Place, plan: FleetPlan, request: WorkRequest, progress: Progress
    ) -> None:
        self._place, self._plan, self._progress = place, plan, progress
        self._again, self._name = request.again, request.name
        self._observer = Observer(place, plan.lease_s)
        # It waits for the lock of the host before it starts a worker, which would disturb a run.
        self._request = replace(plan.request, wait=True, command=("work", place.name))

    def work(self) -> Done:
        """Measure the shard of this host's device, or wait until another host has done so."""
        shard, seen = "", Seen("free")
        while not shard or seen.state != "done" or self._is_open(shard, seen):
            with open_session(self._request, self._progress, times=True) as session:
                complain_of_code(self._place, self._plan, session)
                here = environment_of(session.hello)
                shard = name_shard(self._plan, here)
                finished = None
                with suppress(LostClaim):
                    finished = self._measure(session, shard, device_in_words(here))
                if finished is not None:
                    state, trouble = finished.info.state, finished.trouble
                    return Done(self._place, shard, finished.rows, state, True, trouble)
            seen = self._wait_for(shard)
        return self._read(shard, seen)

    def _measure(self, session: OpenSession, shard: str, device: str) -> Finished | None:
        """None if another host has the shard."""
        seen = self._observer.look(shard)
        again = seen.state == "done" and self._is_open(shard, seen)
        owner = Owner(platform.node(), device, self._name)
        epoch = seen.epoch if again else 0
        held = claim(self._place, self._observer, shard, owner, again=epoch)
        if held is None:
            return None
        return measure_shard(session, self._place, self._plan, held, self._progress, again=again)

    def _is_open(self, shard: str, seen: Seen) -> bool:
        """Whether a finished shard is measured again: it lacks figures, or cannot be read."""
        if not self._again:
            return False
        try:
            return self._read(shard, seen).exit_status != Exit.GOOD
        except Unreachable:
            raise
        except RequestError:
            return True

    def _read(self, shard: str, seen: Seen) -> Done:
        """A shard that is done. Raises RequestError if it is damaged."""
        stored = read_done_run(self._place, self._plan, shard, seen.done_epoch)
        return Done(self._place, shard, tuple(stored.rows), stored.info.state)

    def _wait_for(self, shard: str) -> Seen:
        """The shard, when no other host has it any more."""
        is_told = False
        seen = Seen("held")
        while True:
            with suppress(Unreachable):  # a standby outlives a break of the store
                seen = self._observer.look(shard)
            if seen.state != "held":
                return seen
            if not is_told:
                self._progress.stage(f"waiting for the owner of {shard}", 1, "")
                is_told = True
            # Hosts that wait for one owner should not ask all at once.
            time.sleep(self._plan.lease_s / BEATS * random.uniform(0.5, 1))
