"""The sessions of a run, each with its worker: starts, replaces and ends them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from attn_bench.catalog import code
from attn_bench.engine.pair import AnyWorker
from attn_bench.engine.process import WorkerLost
from attn_bench.model import protocol
from attn_bench.model.errors import AttnBenchError

# A worker that starts imports torch, which takes one core and some hundred MB.
MOST_AT_ONCE = 4


class CodeChanged(AttnBenchError):
    """A file of the measured code was edited during the run, whose figures would have two codes."""


@dataclass(slots=True)
class Session:
    """A worker and its rounds; round 0 is the warm-up.

    If a block fails, the session ends. A new session with a new number takes its place.
    is_over: whether its worker was lost or poisoned while inspecting, and has ended.
    """

    number: int
    worker: AnyWorker
    rng: Random
    is_open: bool
    round: int = 0
    is_over: bool = False

    def open(self, sources: Mapping[str, str]) -> None:
        """Wait until the worker is ready.

        Raises CodeChanged if a module of `sources` is another one there.
        """
        if self.is_open:
            return
        now = self.worker.open().sources
        self.is_open = True
        complain_if_changed(sources, now)

    def ask(self, message: protocol.Message, timeout_s: float) -> protocol.Reply:
        """The worker's reply. A lost worker is a poisoned one."""
        self.worker.begin(message)
        return self.finish(timeout_s)

    def finish(self, timeout_s: float) -> protocol.Reply:
        """The reply to what the worker was asked last. A lost worker is a poisoned one."""
        try:
            return self.worker.finish(timeout_s)
        except WorkerLost as lost:
            return protocol.Failure(lost.status, str(lost), poisoned=True)


def complain_if_changed(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise CodeChanged if a module of both has another digest now."""
    changed = code.first_difference({n: d for n, d in before.items() if n in now}, now)
    if changed is not None:
        raise CodeChanged(f"the code of {code.shown(changed)} changed while the run measured")


class Workers:
    """The sessions of a run, in the order of their turns.

    next_number: of the next new session; its number seeds its random order.
    sources: the digests of the measured code, which every worker must have.
    """

    def __init__(self, first: AnyWorker, seed: int, load: Sequence[str], next_number: int) -> None:
        """Take the first worker, which is open. load: the modules that the others import first."""
        self.sources: Mapping[str, str] = {}
        self.next_number = next_number
        self._seed = seed
        self._load = list(load)
        self._sessions = [self._make(first, is_open=True)]
        self._wanted = 1

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions)

    def __getitem__(self, index: int) -> Session:
        return self._sessions[index]

    @property
    def first(self) -> Session:
        return self._sessions[0]

    def hold_code(self, found: Mapping[str, str]) -> None:
        """Add the digests of modules that a worker has loaded. Raises CodeChanged."""
        if found:
            complain_if_changed(self.sources, found)
            self.sources = {**self.sources, **found}

    def start(self, count: int) -> None:
        """Start workers, MOST_AT_ONCE at a time, for `count` sessions, and return at once."""
        self._wanted = count
        starting = sum(not session.is_open for session in self._sessions)
        while len(self._sessions) < self._wanted and starting < MOST_AT_ONCE:
            self._sessions.append(self._another(self.first))
            starting += 1

    def open(self, count: int | None = None) -> None:
        """Wait until all workers are ready, and replace those of sessions that are over.

        count: only the first ones.
        """
        index = 0
        while index < len(self._sessions) and (count is None or index < count):
            if self._sessions[index].is_over:
                self.replace(index)
            self._sessions[index].open(self.sources)
            self.start(self._wanted)
            index += 1

    def replace(self, index: int) -> None:
        """End a session, and open a new one in its place."""
        old = self._sessions[index]
        old.worker.end()
        self._sessions[index] = self._another(old)
        self._sessions[index].open(self.sources)

    def add_first(self) -> None:
        """Open a new session before the first one."""
        self._sessions.insert(0, self._another(self.first))
        self.first.open(self.sources)

    def open_outside(self, worker: AnyWorker) -> Session:
        """A session of a worker that does not take turns with the others, and is not ended here."""
        session = self._make(worker)
        session.open(self.sources)
        return session

    def drop(self, index: int) -> None:
        """End a session."""
        self._sessions.pop(index).worker.end()

    def ask_first(self, message: protocol.Message, timeout_s: float) -> protocol.Reply:
        """The reply of the first session, which is replaced if it is over."""
        if self.first.is_over:
            self.replace(0)
        reply = self.first.ask(message, timeout_s)
        if isinstance(reply, protocol.Failure) and reply.poisoned:
            self.first.worker.end()
            self.first.is_over = True
        return reply

    def end(self) -> None:
        for session in self._sessions:
            session.worker.end()

    def _another(self, like: Session) -> Session:
        return self._make(like.worker.another(self._load))

    def _make(self, worker: AnyWorker, *, is_open: bool = False) -> Session:
        number = self.next_number
        self.next_number += 1
        return Session(number, worker, Random(f"{self._seed} {number}"), is_open)
