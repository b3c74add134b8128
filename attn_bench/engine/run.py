"""The stages of one run: prepare, begin, measure, save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from attn_bench.analysis.forecast import make_forecast
from attn_bench.analysis.rows import Measurements, make_rows
from attn_bench.catalog import code
from attn_bench.catalog.registry import Entry, Registry, builtin, union
from attn_bench.engine.coordinator import Coordinator, Progressed
from attn_bench.engine.judges import Judge, Untimed
from attn_bench.engine.progress import Progress
from attn_bench.engine.session import OpenSession, modules_without_worker
from attn_bench.engine.watch import Watch
from attn_bench.model import machine, protocol, units
from attn_bench.model.axes import AUTO, EXECUTION, HOST, split_device
from attn_bench.model.bounds import LEAST_MEMORY_GIB
from attn_bench.model.case import PLAIN
from attn_bench.model.environment import (
    Environment,
    find_disturbances,
    fingerprint_of,
    is_overloaded,
)
from attn_bench.model.errors import AttnBenchError, RequestError
from attn_bench.model.request import RunRequest
from attn_bench.model.row import Row
from attn_bench.model.run import Needs, Plan, Settings
from attn_bench.model.status import COUNTED, FAULTS, Exit
from attn_bench.model.suite import Aim, Suite
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan, make_settings, only
from attn_bench.store.info import Kind, RunInfo, State
from attn_bench.store.keys import keys_of, with_keys
from attn_bench.store.runs import RunFolder

OVERLOAD = "other processes used {:.1f} of {} cores: no time is valid for a quiet machine"


@dataclass(frozen=True)
class Prepared:
    """The decisions before measuring, and the open session."""

    session: OpenSession
    suite: Suite
    plan: Plan
    settings: Settings


@dataclass(frozen=True)
class Begun:
    """The folder of a run, and run.json as far as it is known yet."""

    folder: RunFolder
    info: RunInfo


@dataclass(frozen=True)
class Measured:
    """The results, and how measuring ended; the workers have ended.

    trouble: why it ended early; None if it did not.
    """

    prepared: Prepared
    coordinator: Coordinator
    watch: Watch
    state: State
    trouble: str | None


@dataclass(frozen=True)
class Finished:
    """A run that is measured and saved; the command ends with `exit_status`.

    trouble: why it ended early; None if it did not.
    """

    path: Path
    rows: tuple[Row, ...]
    info: RunInfo
    exit_status: int
    trouble: str | None = None


def complain_early(request: RunRequest, gone: Sequence[Entry] = ()) -> None:
    """Raise RequestError for a wrong suite, `where` or `modules`, before a worker starts.

    Whether the modules exist is not known here if a worker must find them.
    """
    known = modules_without_worker(request.modules_from)
    suite = load_suite(request, None if known is None else union(gone, known))
    if known is None and any(grid.has_globs for grid in suite.grids):
        return  # a worker must tell which modules there are
    device = HOST if request.device == AUTO else split_device(request.device)[0]
    if device == HOST and request.aim:
        _complain_of_size(request.aim)
    if request.device == AUTO and "device" in (request.where or ""):
        return  # only a worker knows the device
    make_plan(suite, device, modules=request.modules, where=request.where)  # type: ignore[arg-type]


def _complain_of_size(aim: Aim) -> None:
    """Raise RequestError if an input is larger than this machine's memory."""
    memory = machine.memory_bytes()
    for shape in (*aim.shapes, *aim.images):
        needed = 4 * shape.elements  # float32
        if needed > memory:
            raise RequestError(
                f"an input of {shape.in_words} takes {units.bytes_(needed)}, and this machine has "
                f"{units.bytes_(memory)} of memory"
            )


def load_suite(request: RunRequest, known: Registry | None) -> Suite:
    """The suite of the request, with its aim. Raises RequestError.

    known: the registered modules; None does not compare the suite with them.
    """
    return suite_file.aim_suite(suite_file.load(request.suite, known), request.aim)


def prepare(
    session: OpenSession,
    request: RunRequest,
    gone: Sequence[Entry] = (),
    suite: Suite | None = None,
) -> Prepared:
    """Check the request and make the plan. Raises RequestError.

    gone: modules that the suite may name although the current version lacks them; the plan has no
        cases of them.
    suite: instead of the one that the request names.
    """
    suite = suite or load_suite(request, union(gone, session.modules))
    plan = make_plan(suite, session.hello.device, modules=request.modules, where=request.where)
    plan = only(plan, {entry.name for entry in session.modules})
    settings = make_settings(suite, plan, request)
    complain_of_memory(settings.sessions)
    return Prepared(session, suite, plan, settings)


def complain_of_memory(sessions: int) -> None:
    """Raise RequestError if the free memory has no room for so many workers."""
    free_gib = machine.free_memory_bytes() / 2**30
    room = int(free_gib / LEAST_MEMORY_GIB)
    if sessions > max(room, 1):
        raise RequestError(
            f"{sessions} sessions need {sessions * LEAST_MEMORY_GIB:g} GiB, and {free_gib:.1f} GiB "
            f"of memory are free: use --sessions {max(room, 1)}"
        )


def begin(
    prepared: Prepared,
    request: RunRequest,
    started: datetime,
    progress: Progress,
    kind: Kind = "run",
) -> Begun:
    """Create the run folder, and write what is known before measuring."""
    hello, suite = prepared.session.hello, prepared.suite
    name = f"check-{suite.name}" if kind == "check" else suite.name
    folder = RunFolder.create(name, hello.device, started, request.out)
    info = RunInfo(
        suite=suite,
        settings=prepared.settings,
        environment=replace(
            environment_of(hello),
            pages=prepared.settings.pages,
            other_cores_at_start=prepared.session.other_cores,
            load_at_start=machine.load_average(),
        ),
        kind=kind,
        command=("attn-bench", *request.command),
        request=request,
        code=code.hash_of(hello.sources),
        sources=dict(hello.sources),
        start=started.isoformat(timespec="seconds"),
    )
    folder.write_info(info)
    if prepared.suite.timed:
        progress.caution(info.environment)
    return Begun(folder, info)


def environment_of(hello: protocol.Hello) -> Environment:
    """The facts of this machine, and of the worker's device and software."""
    here = machine.capture()
    return Environment(
        **vars(here),
        device=hello.device,
        device_facts=dict(hello.device_facts),
        software=dict(hello.software),
        threads=hello.threads,
        worker_settings=dict(hello.settings),
        changed_by_files=tuple(hello.changes),
        fingerprint=fingerprint_of(here, hello.device, hello.device_facts),
    )


def measure(
    prepared: Prepared,
    folder: RunFolder,
    progress: Progress,
    before: Progressed | None = None,
    judge: Judge | None = None,
    watch: Watch | None = None,
) -> Measured:
    """Inspect the cases, then time them until the judge is satisfied.

    If something ends this early, the result states the reason. Afterwards, signals are ignored
    until the next `measure` or `renew` of the session.
    """
    session = prepared.session
    session.share_memory(prepared.settings.sessions if prepared.suite.timed else 1)
    if not prepared.suite.timed:
        judge = judge or Untimed()
    coordinator = Coordinator(
        session.worker, prepared.plan, prepared.settings, folder.keep, progress, before, judge
    )
    coordinator.expect_code(session.hello.sources)
    watch = watch or Watch()
    state: State = "finished"
    trouble = None
    try:
        try:
            session.signals.listen()
            coordinator.inspect()
            watch.start()
            coordinator.measure()
            watch.stop()
            _compare_with_clean(prepared, coordinator)
        finally:
            session.signals.deafen()
    except KeyboardInterrupt:
        state = "interrupted"
    except AttnBenchError as problem:
        state, trouble = "broken off", str(problem)
    finally:
        coordinator.stop()
    return Measured(prepared, coordinator, watch, state, trouble)


def _compare_with_clean(prepared: Prepared, coordinator: Coordinator) -> None:
    """Compare the built-in cases of a run that also has users' modules with a clean process."""
    own = {entry.name for entry in builtin()} | {PLAIN}
    cases = prepared.plan.cases
    victims = [c for c in cases if c.variant.module in own and EXECUTION[c.execution].patience == 1]
    if len(victims) == len(cases) or any(case.is_baseline for case in cases):
        return
    clean = prepared.session.worker.without_files()
    try:
        coordinator.compare_with(clean, victims)
    finally:
        clean.end()


def renew(measured: Measured) -> Measured:
    """Open a worker for the next part of a run; if that is interrupted or fails, the state is."""
    try:
        measured.prepared.session.renew()
    except KeyboardInterrupt:
        return replace(measured, state="interrupted")
    except AttnBenchError as problem:
        return replace(measured, state="broken off", trouble=str(problem))
    return measured


def save(measured: Measured, begun: Begun, ended: str = "the budget was spent") -> Finished:
    """Complete the run folder.

    ended: the reason for cases without figures.
    """
    coordinator, state = measured.coordinator, measured.state
    info = _complete_info(measured, begun.info)
    seen = info.environment
    rows = make_rows(
        measured.prepared.plan,
        Measurements(
            coordinator.outcomes,
            coordinator.timings,
            coordinator.rates,
            measured.prepared.session.hello.threads,
        ),
        ended if state == "finished" else f"the run was {state}",
        timed=measured.prepared.suite.timed,
        overload=OVERLOAD.format(seen.other_load_cores, seen.cores_usable)
        if is_overloaded(seen)
        else None,
    )
    rows = with_keys(rows, keys_of(begun.folder.path.name, info))
    begun.folder.finish(rows, coordinator.blocks, info)
    status = exit_status(rows, state)
    return Finished(begun.folder.path, tuple(rows), info, status, measured.trouble)


def _complete_info(measured: Measured, info: RunInfo) -> RunInfo:
    """run.json after measuring."""
    coordinator = measured.coordinator
    facts = {i: outcome.facts for i, outcome in coordinator.outcomes.items() if outcome.facts}
    sources = {**info.sources, **coordinator.sources}
    known = [block.throttled for block in coordinator.blocks if block.throttled is not None]
    seen = replace(
        info.environment,
        load_at_end=machine.load_average(),
        **vars(measured.watch.seen),
        warm_up_drift=coordinator.timings.drift(),
        throttled_blocks=sum(known) if known or not coordinator.blocks else None,
    )
    return replace(
        info,
        end=datetime.now(UTC).isoformat(timespec="seconds"),
        state=measured.state,
        environment=seen,
        warnings=find_disturbances(seen),
        needs=_needs(measured),
        calling_share=coordinator.calling_share,
        rates=dict(coordinator.rates),
        uncounted_operators={i: dict(f.uncounted) for i, f in facts.items() if f.uncounted},
        operations={i: dict(f.operations) for i, f in facts.items()},
        notes={i: f.notes for i, f in facts.items() if f.notes},
        code=code.hash_of(sources),
        sources=sources,
    )


def _needs(measured: Measured) -> Needs | None:
    """What the ratios need for the precision that was asked for; None if they have it."""
    prepared, coordinator = measured.prepared, measured.coordinator
    settings = prepared.settings
    baseline_of, share = prepared.plan.baseline_of, coordinator.calling_share
    forecast = make_forecast(coordinator.blocks, baseline_of, share)
    if forecast is None:
        return None
    if forecast.reaches(forecast.budget_s, forecast.sessions) <= settings.precision:
        return None
    return forecast.needs(settings.precision) or forecast.needs(2 * settings.precision)


def exit_status(rows: Sequence[Row], state: State) -> Exit:
    """The exit status of a command that measured these rows."""
    if state == "interrupted":
        return Exit.INTERRUPTED
    found = {row.status for row in rows}
    if state != "finished" or found & set(FAULTS) or not found & set(COUNTED):
        return Exit.NOT_MEASURED
    return Exit.UNDECIDED if "unclear" in found else Exit.GOOD
