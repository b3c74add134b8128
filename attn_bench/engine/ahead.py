"""Prepares cases in several workers side by side, where that takes long: exporting, compiling.

Nothing is timed here. Exports and compiled code lie in folders that the workers share, so what one
worker made serves the others. A failure says nothing of the case: its inspection will tell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from attn_bench.engine.workers import MOST_AT_ONCE, Session, Workers
from attn_bench.model import protocol
from attn_bench.model.axes import EXECUTION
from attn_bench.model.case import Case

Timeout = Callable[[Case], float]  # in seconds
Jobs = Sequence[tuple[Session, Case]]


def find_slow(cases: Iterable[Case]) -> list[Case]:
    """The cases that are worth it."""
    return [case for case in cases if EXECUTION[case.execution].side_by_side]


def share_out(workers: Workers, cases: Sequence[Case], timeout_s: Timeout) -> Iterator[Case]:
    """Prepare each case in one session, which is not the first; yields them as they are done.

    The first session will inspect the cases, and has to notice what importing a module changes.
    """
    count = min(_cores(), len(workers) - 1)
    if not cases or count < 2:
        return
    workers.open(1 + count)
    sessions = list(workers)[1 : 1 + count]
    for start in range(0, len(cases), count):
        some = cases[start : start + count]
        yield some[0]
        _prepare(workers, list(zip(sessions, some, strict=False)), timeout_s)


def prepare_all(workers: Workers, cases: Sequence[Case], timeout_s: Timeout) -> None:
    """Prepare all cases in every session but the first."""
    sessions = list(workers)[1:]
    for start in range(0, len(sessions), _cores()):
        for case in cases:
            jobs = [(session, case) for session in sessions[start : start + _cores()]]
            _prepare(workers, jobs, timeout_s)
    for index, session in enumerate(list(workers)):
        if session.is_over:
            workers.replace(index)


def _cores() -> int:
    """The number of workers that prepare at once."""
    return min(len(os.sched_getaffinity(0)), MOST_AT_ONCE)


def _prepare(workers: Workers, jobs: Jobs, timeout_s: Timeout) -> None:
    """Let each session prepare its case. One that is lost or poisoned is over."""
    asked = [(session, case) for session, case in jobs if not session.is_over]
    for session, case in asked:
        session.worker.begin(protocol.Prepare(case))
    for session, case in asked:
        reply = session.finish(timeout_s(case))
        if isinstance(reply, protocol.Prepared):
            workers.hold_code(reply.sources)
        elif isinstance(reply, protocol.Failure) and reply.poisoned:
            session.worker.end()
            session.is_over = True
