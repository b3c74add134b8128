"""The request and the answer of `recommend`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attn_bench.engine.run import Finished
from attn_bench.jobs.check.stored import RunToRun
from attn_bench.jobs.recommend.choice import Choice
from attn_bench.jobs.recommend.limits import Limit
from attn_bench.model.axes import Mode
from attn_bench.model.case import Case, Shape
from attn_bench.model.request import RunRequest
from attn_bench.model.status import Exit
from attn_bench.store.info import RunInfo


@dataclass(frozen=True)
class RecommendRequest:
    """What to choose for: a backbone with its images, or the shape of a single stage.

    request: the candidates (a suite), and how to measure.
    place: where in the backbone; None is the place in each module's paper.
    fresh: reuse no stored figure.
    """

    request: RunRequest
    limits: tuple[Limit, ...] = ()
    backbone: str | None = None
    image: Shape | None = None
    place: str | None = None
    shape: Shape | None = None
    mode: Mode | None = None
    fresh: bool = False


@dataclass(frozen=True)
class Recommendation:
    """A choice and its evidence.

    case: the case of one candidate; it gives the shape and the conditions.
    info: run.json of the run with the baseline's figures.
    run_to_run: how much a ratio differs from run to run.
    reused: stored run -> number of its figures that were reused.
    measured: the run that measured the missing figures; None if none was missing.
    """

    request: RecommendRequest
    case: Case
    choice: Choice
    info: RunInfo
    run_to_run: RunToRun
    reused: Mapping[str, int]
    exit_status: Exit
    measured: Finished | None
