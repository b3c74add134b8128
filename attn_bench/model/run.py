"""How a run measures, and what comes in: settings, plan, facts, outcomes, blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from attn_bench.model.axes import DType
from attn_bench.model.case import Case
from attn_bench.model.metrics import Exact, Timing
from attn_bench.model.status import Status


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    precision: the half-width of a ratio's 95 % interval at which a case is done, as a fraction.
    sessions: worker processes, each with its own placement of memory: the unit of replication.
    threads: None leaves PyTorch its default. timeout_s: how long one step of a case may take.
    most_ratio: a limit of the ratio; time goes where it decides on which side of it a case lies.
    """

    budget_s: float
    precision: float
    sessions: int
    seed: int
    threads: int | None
    timeout_s: float
    block_s: float = 0.003
    most_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The cases in the table's order, the baseline of each, and those ruled out with a reason."""

    cases: tuple[Case, ...]
    baseline_of: Mapping[str, str]
    unsupported: Mapping[str, str]

    @property
    def measurable(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.id not in self.unsupported)


@dataclass(frozen=True, kw_only=True)
class Facts(Exact):
    """The exact metrics of a case, and what goes to run.json beside them.

    uncounted: operator -> calls that nobody counted. operations: what each operator adds to the
    work. notes: why a metric is not known, and what the module warned of.
    """

    uncounted: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """What this machine attains in one dtype: the roofs that the bound is computed from.

    copy: (bytes read and written, bytes a second), from small to large. macs_per_s: of a matrix
    product.
    """

    dtype: DType
    copy: list[tuple[int, float]]
    macs_per_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: its status with the reason, and its facts if it got that far."""

    case_id: str
    status: Status
    error: str | None = None
    facts: Facts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Timing):
    """The timing of `calls` calls of one case, and where in the run it stands."""

    case_id: str
    session: int
    round: int
    position: int
    calls: int
