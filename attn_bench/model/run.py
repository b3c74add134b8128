"""How a run measures and what it collects: settings, plan, facts, outcomes, blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_bench.model.axes import DType, Pages
from attn_bench.model.bounds import (
    Calls,
    Factor,
    Index,
    Number,
    Precision,
    Seconds,
    Sessions,
    Threads,
    Time,
)
from attn_bench.model.case import Case
from attn_bench.model.metrics import Exact, Interval, Timing
from attn_bench.model.status import Status

WARNED = "warned: "  # begins a note that is a warning of the module
# Warnings that tell authors about later versions, and users nothing about these figures.
QUIET = tuple(
    f"{WARNED}{name}"
    for name in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    precision: a case is done at this half-width of the 95 % intervals of its latency and ratio, as
        a fraction.
    sessions: worker processes, each with its own memory layout: the unit of replication.
    threads: None keeps PyTorch's default.
    timeout_s: the most time that one step of a case may take.
    most_ratio: a limit of the ratio; more time goes to cases that may lie on either side of it.
    pages: what a worker's memory lies in; runs of older versions had the default.
    """

    budget_s: Seconds
    precision: Precision
    sessions: Sessions
    seed: int
    threads: Threads | None
    timeout_s: Seconds
    block_s: Seconds = 0.003
    most_ratio: Factor | None = None
    pages: Pages = "default"


@dataclass(frozen=True, slots=True)
class Plan:
    """The cases in the table's order, the baseline of each, and why some are unsupported."""

    cases: tuple[Case, ...]
    baseline_of: Mapping[str, str]
    unsupported: Mapping[str, str]

    @property
    def measurable(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.id not in self.unsupported)


@dataclass(frozen=True, kw_only=True)
class Facts(Exact):
    """The exact metrics of a case, and the details that run.json holds.

    uncounted: operator -> number of calls whose work is not counted.
    operations: operator -> what it adds to the work.
    notes: why a metric is unknown, and the warnings of the module.
    sources: the digests of the modules that were loaded for this case first.
    """

    uncounted: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates that this machine attains in one dtype; the bound follows from them.

    copy: (bytes read and written, bytes a second), from small to large.
    macs_per_s: the rate of a matrix product.
    """

    dtype: DType
    copy: list[tuple[Number, Factor]]
    macs_per_s: Factor


@dataclass(frozen=True, slots=True)
class Needs:
    """A budget, and sessions, for nine of ten ratios to be known to ± `precision`."""

    precision: Precision
    budget_s: Time
    sessions: Calls


@dataclass(frozen=True, slots=True, kw_only=True)
class HitRate:
    """The hits of several tries, and the 95 % interval of their rate."""

    hits: Index
    of: Index
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class SelfcheckRates:
    """The error rates that a selfcheck measured.

    case_s: the mean time of one case in a trial.
    power: real slowdowns called slower, by their percent.
    coverage_of_sharing: of cases that share a baseline; None without any.
    run_to_run_sd: of ratios of unlike modules; None for few trials.
    smallest_visible: the slowdown seen nine times of ten, by the seconds of a case.
    """

    trials: Index
    case_s: Time
    false_alarms: HitRate
    power: Mapping[str, HitRate]
    coverage: HitRate
    coverage_of_sharing: HitRate | None
    run_to_run_sd: Time | None
    smallest_visible: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """The answer of a check, kept with its run. `view/formats.py` writes the same for programs."""

    baseline: str
    exit_status: int
    notes: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of inspecting a case: its status, the reason, and its facts if it was built."""

    case_id: str
    status: Status
    error: str | None = None
    facts: Facts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Timing):
    """The timing of one block of a case, and its position in the run."""

    case_id: str
    session: Index
    round: Index
    position: Index
    calls: Calls
