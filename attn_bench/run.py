"""The main job as a contents page: load, plan, measure, save, summarise."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attn_bench import environment, protocol, suite
from attn_bench.coordinator import Coordinator, Progress
from attn_bench.errors import RequestError
from attn_bench.plan import TIMEOUT_S, make_plan, settle
from attn_bench.process import Worker
from attn_bench.record import Plan, Row, Settings, Suite
from attn_bench.registry import Entry, Registry, builtin, entry_points
from attn_bench.store import RunFolder
from attn_bench.table import make_rows

# A case that its suite's shapes rule out is no fault of anybody's; these are.
FAULTS = ("failed", "timeout", "out_of_memory", "skipped")


@dataclass(frozen=True)
class Request:
    """What `run` was asked for; None is left to the suite or the defaults."""

    suite: str
    device: str = "auto"
    modules: str | None = None
    where: str | None = None
    budget_s: float | None = None
    precision: float | None = None
    quick: bool = False
    out: str | None = None
    seed: int = 0
    threads: int | None = None
    timeout_s: float = TIMEOUT_S
    modules_from: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A run that was measured and saved; `exit_status` is what the command ends with."""

    path: Path
    rows: tuple[Row, ...]
    info: Mapping[str, Any]
    exit_status: int


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before anything is measured, and the worker that is waiting."""

    worker: Worker
    hello: protocol.Hello
    suite: Suite
    plan: Plan
    settings: Settings


def run(request: Request, progress: Progress) -> Finished:
    """Measure a suite and write its run folder. Raises AttnBenchError for what cannot be done."""
    started = datetime.now(UTC)
    with _terminable():
        prepared = prepare(request, progress)
        try:
            folder = RunFolder.create(
                prepared.suite.name, prepared.hello.device, started, request.out
            )
        except BaseException:
            prepared.worker.end()
            raise
        coordinator = Coordinator(
            prepared.worker, prepared.plan, prepared.settings, folder.keep, progress
        )
        info = _info(request, prepared, started)
        interrupted = False
        try:
            folder.write_info(info)
            coordinator.inspect()
            coordinator.measure()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            coordinator.stop()
    rows = make_rows(
        prepared.plan, coordinator.outcomes, coordinator.timings, prepared.hello.threads
    )
    info |= _ending(coordinator, interrupted)
    folder.write_samples(coordinator.blocks)
    folder.write_table(rows)
    folder.write_info(info)
    folder.close()
    return Finished(folder.path, tuple(rows), info, _exit_status(rows, interrupted))


def prepare(request: Request, progress: Progress) -> Prepared:
    """Check the request, start a worker, plan. Raises RequestError, with no worker left running."""
    for file in request.modules_from:
        if not Path(file).is_file():
            raise RequestError(f"--modules-from {file}: there is no such file")
    has_code_to_ask = bool(request.modules_from or entry_points())
    if not has_code_to_ask:
        suite.load(request.suite, builtin())  # complain before a worker takes its seconds
    worker = Worker(
        protocol.Open(
            protocol.VERSION,
            request.device,  # type: ignore[arg-type]
            request.threads,
            list(request.modules_from),
        )
    )
    try:
        progress.stage("starting", 1)
        hello = worker.open()
        registry = described(worker) if has_code_to_ask else builtin()
        asked = suite.load(request.suite, registry)
        plan = make_plan(asked, hello.device, modules=request.modules, where=request.where)
    except BaseException:
        worker.end()
        raise
    settings = settle(
        asked,
        plan,
        budget_s=request.budget_s,
        precision=request.precision,
        quick=request.quick,
        seed=request.seed,
        threads=request.threads,
        timeout_s=request.timeout_s,
    )
    return Prepared(worker, hello, asked, plan, settings)


def describe_all(modules_from: tuple[str, ...]) -> Registry:
    """Everything registered, the user's files included: a worker loads them and tells."""
    worker = Worker(protocol.Open(protocol.VERSION, "cpu", None, list(modules_from)))
    try:
        worker.open()
        return described(worker)
    finally:
        worker.end()


def described(worker: Worker) -> Registry:
    """What a worker has registered, entry points and the user's files included."""
    reply = worker.ask(protocol.Describe(), TIMEOUT_S)
    assert isinstance(reply, protocol.Described), reply
    registry = Registry()
    for entry in reply.entries:
        extents = tuple(entry.extents) if isinstance(entry.extents, list) else entry.extents
        registry.add(
            Entry(entry.name, "", extents, entry.paper, entry.summary, origin=entry.origin)
        )
    return registry


def _info(request: Request, prepared: Prepared, started: datetime) -> dict[str, Any]:
    """run.json as far as it is known before anything is measured."""
    machine = environment.capture()
    load = environment.load_average()
    hello = prepared.hello
    return {
        "suite": asdict(prepared.suite),
        "command": ["attn-bench", *request.command],
        "seed": prepared.settings.seed,
        "settings": asdict(prepared.settings),
        "start": started.isoformat(timespec="seconds"),
        "end": None,
        "state": "measuring",
        "environment": {
            **machine,
            "device": hello.device,
            "device_facts": dict(hello.device_facts),
            "software": dict(hello.software),
            "threads": hello.threads,
            "openmp": dict(hello.openmp),
            "load_at_start": load,
        },
        "warnings": environment.warnings(machine, hello.threads, load),
    }


def _ending(coordinator: Coordinator, interrupted: bool) -> dict[str, Any]:
    """What run.json gains when measuring is over."""
    facts = {
        case_id: outcome.facts
        for case_id, outcome in coordinator.outcomes.items()
        if outcome.facts is not None
    }
    return {
        "end": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": "interrupted" if interrupted else "finished",
        "load_at_end": environment.load_average(),
        "calling_share": coordinator.calling_share,
        "rates": {dtype: asdict(rates) for dtype, rates in coordinator.rates.items()},
        "uncounted_operators": {i: dict(f.uncounted) for i, f in facts.items() if f.uncounted},
        "notes": {i: list(f.notes) for i, f in facts.items() if f.notes},
        "source_hashes": {i: f.source_hash for i, f in facts.items() if f.source_hash},
    }


def _exit_status(rows: list[Row], interrupted: bool) -> int:
    if interrupted:
        return 130
    measured = any(row.status == "ok" for row in rows)
    return 3 if not measured or any(row.status in FAULTS for row in rows) else 0


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: in order, with everything on disk."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
