"""Compares cases with themselves in a process that has never loaded the users' modules.

A module can slow down the others of its process by something that `worker/state.py` does not know.
Here each worker that has run everything is compared with a clean one: the same case, moments apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from statistics import median

from attn_bench.analysis.variances import LEAST_SESSIONS
from attn_bench.engine.workers import Session
from attn_bench.model import protocol
from attn_bench.model.case import Case
from attn_bench.model.run import Block

ROUNDS = 12  # the first one warms up
MOST_S = 3.0  # all blocks together
LEAST_FACTOR = (
    1.15  # identical processes differ by less in every session: benchmarks/evil_modules.py
)
AS_ALONE = "as long as in a process without the users' modules"


def fastest(cases: Iterable[Case], blocks: Iterable[Block], sessions: int) -> list[Case]:
    """The fastest cases that have blocks, as many as can be compared in MOST_S."""
    block_s = {block.case_id: block.calling_s for block in blocks}
    left_s = MOST_S / (ROUNDS * (sessions + 1))
    found = []
    timed = (case for case in cases if case.id in block_s)
    for case in sorted(timed, key=lambda case: block_s[case.id]):
        left_s -= block_s[case.id]
        if left_s < 0:
            break
        found.append(case)
    return found


def find_harmed(
    clean: Session,
    sessions: Sequence[Session],
    cases: Sequence[Case],
    calls: Mapping[str, int],
    timeout_s: Callable[[Case], float],
) -> dict[str, float]:
    """How many times as long the cases take in the sessions as in the clean one.

    Only cases that differ by LEAST_FACTOR, in the same direction, in every session and in both
    halves of the rounds. A session in which a block fails says nothing.
    """
    taken: dict[int, dict[str, list[float]]] = {}
    rng, workers = Random(0), [clean, *sessions]
    for round_ in range(ROUNDS):
        for case in cases:
            for session in rng.sample(workers, len(workers)):
                message = protocol.RunBlock(case, calls[case.id], round_)
                reply = session.ask(message, timeout_s(case))
                if not isinstance(reply, protocol.Timed):
                    workers.remove(session)
                elif round_:
                    seconds = taken.setdefault(session.number, {}).setdefault(case.id, [])
                    seconds.append(reply.timing.seconds)
    if clean not in workers or len(workers) <= LEAST_SESSIONS:
        return {}
    alone, *others = (taken[session.number] for session in workers)
    found = {
        case.id: _factor(alone[case.id], [other[case.id] for other in others]) for case in cases
    }
    return {case_id: factor for case_id, factor in found.items() if factor is not None}


def _factor(alone: Sequence[float], beside: Sequence[Sequence[float]]) -> float | None:
    """The factor nearest to 1 over all sessions and both halves of the rounds; None if small."""
    factors = [
        median(seconds[half::2]) / median(alone[half::2]) for seconds in beside for half in (0, 1)
    ]
    if min(factors) >= LEAST_FACTOR:
        return min(factors)
    return max(factors) if max(factors) <= 1 / LEAST_FACTOR else None
