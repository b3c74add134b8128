"""How a run measures and what it collects: settings, plan, facts, outcomes, blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from attn_bench.model.axes import DType, Pages
from attn_bench.model.case import Case
from attn_bench.model.metrics import Exact, Timing
from attn_bench.model.status import Status


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

    budget_s: float
    precision: float
    sessions: int
    seed: int
    threads: int | None
    timeout_s: float
    block_s: float = 0.003
    most_ratio: float | None = None
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
    copy: list[tuple[int, float]]
    macs_per_s: float


@dataclass(frozen=True, slots=True)
class Needs:
    """A budget, and sessions, for nine of ten ratios to be known to ± `precision`."""

    precision: float
    budget_s: float
    sessions: int


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
    session: int
    round: int
    position: int
    calls: int
