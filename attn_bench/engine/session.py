"""Opens a worker for as long as it is needed: the one way to start and end workers."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from attn_bench.catalog.backbones import KINDS, Backbone
from attn_bench.catalog.registry import Entry, Registry, builtin, entry_points
from attn_bench.catalog.source import find_source
from attn_bench.engine.lock import hold_host
from attn_bench.engine.pair import AnyWorker, WorkerPair
from attn_bench.engine.process import Worker, WorkerLost
from attn_bench.engine.progress import Progress
from attn_bench.engine.signals import Interruptible
from attn_bench.engine.watch import Watch
from attn_bench.engine.workers import complain_if_changed
from attn_bench.model import protocol
from attn_bench.model.case import Shape
from attn_bench.model.errors import RequestError
from attn_bench.model.request import TIMEOUT_S, RunRequest

FOLDER = "attn-bench-exports"
ABANDONED_S = 600.0  # another container may use this folder, and number its processes otherwise


@dataclass
class OpenSession:
    """An open worker and its greeting.

    signals: handled until `deafen`.
    other_cores: used by other work while the worker started.
    modules: all registered modules, including the user's files, and the modules of a baseline as
        NAME@base.
    """

    worker: AnyWorker
    hello: protocol.Hello
    modules: Registry
    signals: Interruptible
    other_cores: float | None = None

    def find_sources(self, names: Iterable[str]) -> Mapping[str, str]:
        """The digests of the loaded modules, and of those of `names` that exist.

        Raises RequestError if the worker is lost.
        """
        missing = sorted(set(names) - self.hello.sources.keys())
        if not missing:
            return self.hello.sources
        try:
            reply = self.worker.ask(protocol.FindSources(missing), TIMEOUT_S)
        except WorkerLost as lost:
            raise RequestError(f"the worker was lost: {lost}") from None
        assert isinstance(reply, protocol.SourcesFound), reply
        return reply.sources

    def find_network(self, name: str, image: Shape, layers: list[str]) -> Backbone:
        """The facts of a network for such images.

        layers: patterns, each of which must match a layer.
        Raises RequestError if none does, if it cannot be built, or the worker is lost.
        """
        try:
            reply = self.worker.ask(protocol.FindNetwork(name, image, layers), TIMEOUT_S)
        except WorkerLost as lost:
            raise RequestError(f"the worker was lost: {lost}") from None
        if isinstance(reply, protocol.Failure):
            raise RequestError(reply.error)
        assert isinstance(reply, protocol.NetworkFound), reply
        self.hello = replace(self.hello, sources={**self.hello.sources, **reply.sources})
        kinds = tuple(kind for kind in KINDS if kind in reply.places)
        return Backbone(reply.stages, kinds, reply.attention)

    def share_memory(self, workers: int) -> None:
        """Let so many workers share the free memory. Raises RequestError if the worker is lost."""
        try:
            self.worker.share_memory(workers)
        except WorkerLost as lost:
            raise RequestError(f"the worker was lost: {lost}") from None

    def renew(self) -> None:
        """End the worker and open another like it.

        Raises RequestError if that fails, and CodeChanged if it loads other code.
        """
        self.worker.end()
        self.signals.listen()
        self.worker = self.worker.another([])
        hello = self.worker.open()
        complain_if_changed(self.hello.sources, hello.sources)
        self.hello = hello


@contextmanager
def open_session(
    request: RunRequest,
    progress: Progress,
    *,
    baseline: protocol.BaselineCode | None = None,
    python: str | None = None,
    times: bool = False,
) -> Iterator[OpenSession]:
    """A session for `request`; its worker always ends with the context.

    times: whether it will measure time, for which it holds the host until it ends.
    baseline: another version of the modules, loaded beside the current one.
    python: another interpreter, whose worker measures the baseline.
    Raises RequestError if a worker cannot be started, a user's file cannot be loaded, or another
    run holds the host.
    """
    with ExitStack() as held:
        signals = held.enter_context(Interruptible())
        if times:
            held.enter_context(
                hold_host(request.device, request.command, progress, wait=request.wait)
            )
        session: OpenSession | None = None
        watch = Watch()
        watch.start()
        exports = held.enter_context(own_folder())
        worker = _start(request, baseline, python, exports)
        try:
            progress.stage("starting", 1, "")
            hello = worker.open()
            watch.stop()
            known = None if baseline else modules_without_worker(request.modules_from)
            session = OpenSession(
                worker, hello, known or _describe(worker), signals, watch.seen.other_load_cores
            )
            yield session
        finally:  # the session may have renewed its worker
            (session.worker if session else worker).end()


def own_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for as long as this process lives. Those of killed processes are removed."""
    for old in Path(tempfile.gettempdir()).glob(f"{FOLDER}-*"):
        owner = old.name.removeprefix(f"{FOLDER}-").partition("-")[0]
        with suppress(OSError):
            is_old = time.time() - old.stat().st_mtime > ABANDONED_S
            if owner.isdecimal() and not psutil.pid_exists(int(owner)) and is_old:
                shutil.rmtree(old)
    return tempfile.TemporaryDirectory(prefix=f"{FOLDER}-{os.getpid()}-")


def modules_without_worker(modules_from: Sequence[str]) -> Registry | None:
    """The registered modules; None if only a worker can find them, because code must run."""
    return None if modules_from or entry_points() else builtin()


def _start(
    request: RunRequest, baseline: protocol.BaselineCode | None, python: str | None, exports: str
) -> AnyWorker:
    for word in request.modules_from:
        find_source(word)  # raises if it names nothing
    memory = request.memory_gib
    first = Worker(
        protocol.Open(
            protocol.VERSION,
            request.device,
            request.threads,
            list(dict.fromkeys(request.modules_from)),
            None if memory is None else round(memory * 2**30),
            baseline,
            request.pages,
            exports,
        )
    )
    if python is None:
        return first
    try:
        return WorkerPair(first, Worker(first.opening, python=python))
    except OSError as error:
        first.end()
        raise RequestError(f"--against-python {python}: {error.strerror}") from None


def _describe(worker: AnyWorker) -> Registry:
    try:
        reply = worker.ask(protocol.Describe(), TIMEOUT_S)
    except WorkerLost as lost:
        raise RequestError(f"the modules cannot be described: {lost}") from None
    assert isinstance(reply, protocol.Described), reply
    found = Registry()
    for entry in reply.entries:
        found.add(Entry.of(entry))
    return found
