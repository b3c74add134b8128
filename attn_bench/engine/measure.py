"""The main job as a contents page: load, plan, measure, save, summarise."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attn_bench.analysis.table import Measurements, make_rows
from attn_bench.catalog import registry
from attn_bench.catalog.registry import Entry, Registry, builtin, entry_points
from attn_bench.engine.coordinator import Coordinator, Judge, Progress, Progressed, Untimed
from attn_bench.engine.pair import AnyWorker
from attn_bench.engine.process import Worker, WorkerLost
from attn_bench.model import environment, protocol
from attn_bench.model.errors import AttnBenchError, RequestError
from attn_bench.model.request import TIMEOUT_S, RunRequest
from attn_bench.model.row import Row
from attn_bench.model.run import Plan, Settings
from attn_bench.model.status import FAULTS
from attn_bench.model.suite import Suite
from attn_bench.papers import reproduction
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan, only, settle
from attn_bench.store import runs
from attn_bench.store.runs import RunFolder

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Finished:
    """A run that was measured and saved; `exit_status` is what the command ends with.

    trouble: why it ended early, where it did.
    """

    path: Path
    rows: tuple[Row, ...]
    info: Mapping[str, Any]
    exit_status: int
    trouble: str | None = None


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before anything is measured, and the worker that is waiting."""

    worker: AnyWorker
    hello: protocol.Hello
    suite: Suite
    plan: Plan
    settings: Settings


def run(request: RunRequest, progress: Progress) -> Finished:
    """Measure a suite and write its run folder. Raises AttnBenchError for what cannot be done."""
    started = datetime.now(UTC)
    with Interruptible() as signals:
        prepared = prepare(request, progress)
        try:
            folder = RunFolder.create(
                prepared.suite.name, prepared.hello.device, started, request.out
            )
            info = beginning(request, prepared, started)
            folder.write_info(info)
        except BaseException:
            prepared.worker.end()
            raise
        return save(measure(prepared, folder, progress, signals), info)


def resume(name: str, progress: Progress) -> Finished:
    """Go on with a run that was cut off: its table is what an uninterrupted one's would be.

    Raises RequestError where it is finished, or was begun on another machine or software.
    """
    path = runs.find(name)
    info = runs.read_info(path)
    if info.get("kind") == "check":
        raise RequestError(f"{path}: a check is not gone on with; check again")
    if info["state"] == "finished":
        raise RequestError(f"{path}: the run is finished; there is nothing to resume")
    request = replace(
        runs.read_record(info["request"], RunRequest), suite=str(info["suite"]["source"])
    )
    with Interruptible() as signals:
        worker = started(request)
        try:
            progress.stage("starting", 1, "")
            hello = worker.open()
            now = _environment(hello)
            for key in ("fingerprint", "software"):
                if now[key] != info["environment"][key]:
                    raise RequestError(f"{path}: begun on another machine or software ({key})")
            asked = runs.read_record(info["suite"], Suite)
            plan = make_plan(asked, hello.device, modules=request.modules, where=request.where)
            prepared = Prepared(
                worker, hello, asked, plan, runs.read_record(info["settings"], Settings)
            )
            before = Progressed(*runs.read_journal(path))
            folder = RunFolder(path)
        except BaseException:
            worker.end()
            raise
        return save(measure(prepared, folder, progress, signals, before), info)


@dataclass(frozen=True)
class Measured:
    """What came in, and how it ended; the workers are gone."""

    prepared: Prepared
    folder: RunFolder
    coordinator: Coordinator
    watch: environment.Watch
    state: str
    trouble: str | None


def measure(
    prepared: Prepared,
    folder: RunFolder,
    progress: Progress,
    signals: Interruptible,
    before: Progressed | None = None,
    judge: Judge | None = None,
) -> Measured:
    """Inspect, then time, until the judge is content. Whatever ends it early is in the answer."""
    if not prepared.suite.timed:
        judge = judge or Untimed()
    coordinator = Coordinator(
        prepared.worker, prepared.plan, prepared.settings, folder.keep, progress, before, judge
    )
    watch = environment.Watch()
    state, trouble = "finished", None
    try:
        try:
            coordinator.inspect()
            watch.start()
            coordinator.measure()
            watch.stop()
        finally:
            signals.deafen()
    except KeyboardInterrupt:
        state = "interrupted"
    except AttnBenchError as problem:
        state, trouble = "broken off", str(problem)
    finally:
        coordinator.stop()
    return Measured(prepared, folder, coordinator, watch, state, trouble)


def save(measured: Measured, info: dict[str, Any], ended: str = "the budget was spent") -> Finished:
    """The run folder, complete. `ended`: why a case without figures has none."""
    coordinator, state = measured.coordinator, measured.state
    rows = make_rows(
        measured.prepared.plan,
        Measurements(
            coordinator.outcomes,
            coordinator.timings,
            coordinator.rates,
            measured.prepared.hello.threads,
        ),
        ended if state == "finished" else f"the run was {state}",
        timed=measured.prepared.suite.timed,
    )
    info |= _ending(coordinator, measured.watch, info, state)
    measured.folder.finish(rows, coordinator.blocks, info)
    status = exit_status(rows, state)
    if measured.prepared.suite.published and status == 0:
        status = int(
            reproduction.any_differs(rows, info["operations"], measured.prepared.hello.device)
        )
    return Finished(measured.folder.path, tuple(rows), info, status, measured.trouble)


def prepare(request: RunRequest, progress: Progress, gone: Sequence[Entry] = ()) -> Prepared:
    """Check the request, start a worker, plan. Raises RequestError, with no worker left running.

    gone: modules that a suite may name and that may be missing; there are no cases of these.
    """
    has_code_to_ask = bool(request.modules_from or entry_points())
    if not has_code_to_ask:
        known = registry.union(gone, builtin())
        _asked(request, known)  # complain before a worker takes its seconds
    worker = started(request)
    try:
        progress.stage("starting", 1, "")
        hello = worker.open()
        there = described(worker) if has_code_to_ask else builtin()
        asked = _asked(request, registry.union(gone, there))
        plan = make_plan(asked, hello.device, modules=request.modules, where=request.where)
        plan = only(plan, {entry.name for entry in there})
    except BaseException:
        worker.end()
        raise
    return Prepared(worker, hello, asked, plan, settle(asked, plan, request))


def _asked(request: RunRequest, known: Registry) -> Suite:
    return suite_file.aimed(suite_file.load(request.suite, known), request.aim)


def started(request: RunRequest, baseline: protocol.BaselineCode | None = None) -> Worker:
    """A worker that is starting, with another version of the modules beside the current one."""
    for file in request.modules_from:
        if not Path(file).is_file():
            raise RequestError(f"--modules-from {file}: there is no such file")
    return Worker(
        protocol.Open(
            protocol.VERSION,
            request.device,  # type: ignore[arg-type]
            request.threads,
            list(dict.fromkeys(request.modules_from)),
            None if request.memory_gib is None else round(request.memory_gib * 2**30),
            baseline,
        )
    )


def describe_all(modules_from: tuple[str, ...]) -> Registry:
    """Everything registered, the user's files included: a worker loads them and tells."""
    worker = started(RunRequest(suite="", device="cpu", modules_from=modules_from))
    try:
        worker.open()
        return described(worker)
    finally:
        worker.end()


def described(worker: AnyWorker) -> Registry:
    """What a worker has registered, entry points and the user's files included."""
    try:
        reply = worker.ask(protocol.Describe(), TIMEOUT_S)
    except WorkerLost as lost:
        raise RequestError(f"the modules could not be described: {lost}") from None
    assert isinstance(reply, protocol.Described), reply
    found = Registry()
    for entry in reply.entries:
        extents = tuple(entry.extents) if isinstance(entry.extents, list) else entry.extents
        found.add(
            Entry(
                entry.name,
                "",
                extents,
                entry.paper,
                entry.summary,
                origin=entry.origin,
                probes=tuple(entry.probes),
                refuses=tuple(entry.refuses),
            )
        )
    return found


def _environment(hello: protocol.Hello) -> dict[str, Any]:
    machine = environment.capture()
    return {
        **machine,
        "device": hello.device,
        "device_facts": dict(hello.device_facts),
        "software": dict(hello.software),
        "threads": hello.threads,
        "worker_settings": dict(hello.settings),
        "fingerprint": environment.fingerprint(machine, hello.device_facts),
    }


def beginning(request: RunRequest, prepared: Prepared, started: datetime) -> dict[str, Any]:
    """run.json as far as it is known before anything is measured."""
    return {
        "suite": asdict(prepared.suite),
        "command": ["attn-bench", *request.command],
        "request": asdict(request),
        "code": registry.code_hash(request.modules_from),
        "seed": prepared.settings.seed,
        "settings": asdict(prepared.settings),
        "start": started.isoformat(timespec="seconds"),
        "end": None,
        "state": "measuring",
        "environment": {
            **_environment(prepared.hello),
            "load_at_start": environment.load_average(),
        },
        "warnings": [],
    }


def _ending(
    coordinator: Coordinator, watch: environment.Watch, info: Mapping[str, Any], state: str
) -> dict[str, Any]:
    """What run.json gains when measuring is over."""
    facts = {
        case_id: outcome.facts
        for case_id, outcome in coordinator.outcomes.items()
        if outcome.facts is not None
    }
    seen = {
        **info["environment"],
        "load_at_end": environment.load_average(),
        **watch.seen,
        "warm_up_drift": coordinator.timings.drift(),
        "throttled_blocks": sum(block.throttled for block in coordinator.blocks),
    }
    return {
        "end": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": state,
        "environment": seen,
        "warnings": environment.warnings(seen),
        "calling_share": coordinator.calling_share,
        "rates": {dtype: asdict(rates) for dtype, rates in coordinator.rates.items()},
        "uncounted_operators": {i: dict(f.uncounted) for i, f in facts.items() if f.uncounted},
        "operations": {i: dict(f.operations) for i, f in facts.items()},
        "notes": {i: list(f.notes) for i, f in facts.items() if f.notes},
        "source_hashes": {i: f.source_hash for i, f in facts.items() if f.source_hash},
    }


def exit_status(rows: list[Row], state: str) -> int:
    if state == "interrupted":
        return 130
    measured = any(row.status == "ok" for row in rows)
    faulty = state != "finished" or any(row.status in FAULTS for row in rows)
    return 3 if faulty or not measured else 0


class Interruptible:
    """Inside, the first Ctrl-C, SIGTERM or SIGHUP raises KeyboardInterrupt, and only the first.

    After `deafen`, or after that first one, signals are not heard until the end: what was measured
    is being saved. Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __enter__(self) -> Interruptible:
        self._listening = True
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def deafen(self) -> None:
        self._listening = False

    def _heard(self, number: int, frame: object) -> None:
        if self._listening:
            self._listening = False
            raise KeyboardInterrupt
