"""Makes the plan of a fleet, and says what a host must have to work on one."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from attn_bench import __version__
from attn_bench.catalog import code
from attn_bench.catalog.registry import builtin
from attn_bench.engine.progress import Progress
from attn_bench.engine.run import complain_early, load_suite
from attn_bench.engine.session import OpenSession, modules_without_worker, open_session
from attn_bench.jobs.run import files_of
from attn_bench.model.axes import AUTO, HOST
from attn_bench.model.environment import Environment
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import LEASE_S, FleetPlan, Per
from attn_bench.model.request import RunRequest
from attn_bench.store.fleet import create_plan
from attn_bench.store.places import Place

USUAL = {"per": "device", "lease_s": LEASE_S}
SAFE_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class PlanRequest:
    """A plan to make, unless the store has it.

    devices: words in the names of the expected devices.
    """

    run: RunRequest
    per: Per = "device"
    devices: tuple[str, ...] = ()
    lease_s: float = LEASE_S


def make_plan(
    store: Place, asked: PlanRequest, progress: Progress, *, is_here: bool = False
) -> tuple[Place, FleetPlan]:
    """The folder of the plan, and the plan. Raises RequestError if the request is wrong.

    The suite is resolved before anything is written. If users' code is loaded, a worker does it.
    is_here: whether this host measures it, and must have the device.
    """
    complain_early(asked.run)
    if modules_without_worker(asked.run.modules_from) is not None:
        suite, sources = load_suite(asked.run, builtin()), code.digest_declared()
        if is_here and asked.run.device not in (AUTO, HOST):
            with open_session(replace(asked.run, wait=True), progress, times=True):
                pass  # it complains if the device is not here
    else:
        with open_session(replace(asked.run, wait=True), progress, times=True) as session:
            suite = load_suite(asked.run, session.modules)
            sources = code.of_every_host(session.hello.sources)
    request = replace(asked.run, suite=suite.name, command=(), out=None, wait=False)
    plan = FleetPlan(
        suite=suite,
        request=request,
        code=code.hash_of(sources),
        version=__version__,
        sources=sources,
        per=asked.per,
        devices=asked.devices,
        lease_s=asked.lease_s,
    )
    store.probe()
    place, stored = create_plan(store, plan)
    for option in ("per", "lease_s"):
        wanted, there = getattr(plan, option), getattr(stored, option)
        if wanted not in (there, USUAL[option]):
            raise RequestError(
                f"--{option.removesuffix('_s')} {wanted}: the plan {place.name} has {there} since "
                "it was made; leave the option out, or take another STORE"
            )
    return place, stored


def complain_of_plan(place: Place, plan: FleetPlan, named: Sequence[str]) -> None:
    """Raise RequestError unless this version may work on the plan.

    named: the users' files that the user allows: a stored plan starts no code by itself.
    """
    if plan.version != __version__:
        raise RequestError(
            f"{place.name}: attn-bench {plan.version} made this plan, and this is {__version__}"
        )
    wanted = files_of(plan.request, plan.suite)
    if missing := [file for file in wanted if file not in named]:
        raise RequestError(
            f"{place.name}: the plan loads code from {', '.join(wanted)}; if you trust it, name "
            f"it again: --modules-from {missing[0]}"
        )


def complain_of_code(place: Place, plan: FleetPlan, session: OpenSession) -> None:
    """Raise RequestError if this host would measure other code than the plan's."""
    here = code.of_every_host(session.find_sources(plan.sources))
    changed = code.first_difference(plan.sources, here, code.of_every_host(session.hello.sources))
    if changed is not None:
        raise RequestError(
            f"{place.name}: {code.shown(changed)} of this host ({here.get(changed, 'none')}) are "
            f"not those of the plan ({plan.sources.get(changed, 'none')}): install the same version"
        )


def name_shard(plan: FleetPlan, seen: Environment) -> str:
    """The shard of this host's device. Raises RequestError if the host's name is unusable."""
    assert seen.fingerprint is not None
    if plan.per == "device":
        return seen.fingerprint
    host = platform.node()
    if not SAFE_HOST.fullmatch(host):
        raise RequestError(
            f"the name of this host is {host!r}: --per host needs letters, digits, '.', '_', '-'"
        )
    return f"{seen.fingerprint}-{host}"
