"""The request and the answer of `recommend`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attn_bench.engine.run import Finished
from attn_bench.jobs.check.stored import RunToRun
from attn_bench.jobs.recommend.choice import Choice
from attn_bench.jobs.recommend.limits import Limit
from attn_bench.jobs.recommend.more_time import MoreTime
from attn_bench.model.axes import Execution, Mode
from attn_bench.model.case import Case, Shape
from attn_bench.model.request import RunRequest
from attn_bench.model.status import Exit
from attn_bench.store.info import RunInfo

USUAL_SUITE = "choose"  # the candidates, unless another suite is named


@dataclass(frozen=True)
class RecommendRequest:
    """What to choose for: a backbone with its images, or the shape of a single stage.

    request: the candidates (a suite), and how to measure.
    places: where in the backbone; by default, the place in each module's paper.
    by_stage: whether each stage is measured alone, too.
    modes: both choose by inference, and also show the costs of training; none keeps the suite's.
    execution: None keeps the suite's.
    fresh: reuse no stored figure.
    share_of_us: the latency of a network, of which the costs of a stage are shown as shares.
    replaces: how many attention modules of the backbone each candidate replaces; 0 if it is added.
    """

    request: RunRequest
    limits: tuple[Limit, ...] = ()
    backbone: str | None = None
    image: Shape | None = None
    places: tuple[str, ...] = ()
    by_stage: bool = False
    shape: Shape | None = None
    modes: tuple[Mode, ...] = ()
    fresh: bool = False
    replaces: int = 0
    share_of_us: float | None = None
    execution: Execution | None = None


@dataclass(frozen=True)
class Recommendation:
    """A choice and its evidence.

    cases: those of the candidates and the baseline.
    info: run.json of the run with the baseline's figures.
    run_to_run: how much a ratio differs from run to run.
    reused: stored run -> number of its figures that were reused.
    more: what decides about the candidates that are unclear; None if none is, or if their figures
        come from several runs.
    measured: the run that measured the missing figures; None if none was missing.
    """

    request: RecommendRequest
    cases: tuple[Case, ...]
    choice: Choice
    info: RunInfo
    run_to_run: RunToRun
    reused: Mapping[str, int]
    exit_status: Exit
    measured: Finished | None
    more: MoreTime | None = None

    @property
    def case(self) -> Case:
        """The case of one candidate; it gives the shape and the conditions."""
        return self.cases[0]
