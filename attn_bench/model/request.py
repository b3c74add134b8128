"""What a run is asked for: one value from the command line or Python to the plan."""

from __future__ import annotations

from dataclasses import dataclass

from attn_bench.model.axes import AUTO
from attn_bench.model.suite import Aim

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class RunRequest:
    """What to measure and how; None is left to the suite or the defaults.

    precision: as a fraction. memory_gib: the most that a worker may take. command: the words that
    were typed. aim: what the suite's variants are measured in, instead of its own shapes.
    most_ratio: a limit of the ratio; time goes where it decides on which side of it a case lies.
    """

    suite: str
    device: str = AUTO
    modules: str | None = None
    where: str | None = None
    budget_s: float | None = None
    precision: float | None = None
    sessions: int | None = None
    quick: bool = False
    out: str | None = None
    seed: int = 0
    threads: int | None = None
    timeout_s: float = TIMEOUT_S
    memory_gib: float | None = None
    modules_from: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    aim: Aim | None = None
    most_ratio: float | None = None
