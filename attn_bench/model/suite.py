"""A suite: what to measure, with its grids and tolerances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import inf

from attn_bench.model.axes import SUITE_AXES, Execution, Mode
from attn_bench.model.bounds import Precision, Seconds, Sessions, Title
from attn_bench.model.case import Extent, Network, Scalar, Shape, StageExtents, Variant
from attn_bench.model.metrics import TOLERABLE

USUAL_BASELINE = "identity"
LATENCY_TOLERANCE = 0.03  # the growth of latency that `check` accepts by default


def usual_axes() -> dict[str, tuple[str, ...]]:
    """Every axis of a suite at its usual value."""
    return {axis.name: (axis.usual,) for axis in SUITE_AXES}


@dataclass(frozen=True, slots=True)
class Grid:
    """One `[[grid]]` of a suite: each module with each extent and each argument."""

    modules: tuple[str, ...]
    extents: tuple[Extent | StageExtents, ...] | None = None
    arguments: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()

    @property
    def has_globs(self) -> bool:
        """Whether a name is a pattern, so that only a registry tells the modules."""
        return any(set("*?[") & set(name) for name in self.modules)

    def variants(self) -> Iterator[Variant]:
        """The variants in the order of the file; the last argument changes fastest."""
        names = [name for name, _ in self.arguments]
        fixed = list(product(*(values for _, values in self.arguments)))
        for module, extent, values in product(self.modules, self.extents or (None,), fixed):
            yield Variant(module, extent, tuple(zip(names, values, strict=True)))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much a metric may grow, as fractions, for the modules that match the glob.

    fail: a check fails beyond this growth.
    warn: a check warns beyond this growth.
    None keeps the value of an earlier rule.
    """

    metric: str
    module: str = "*"
    fail: float | None = None
    warn: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in TOLERABLE:
            raise ValueError(f"unknown metric {self.metric!r}")
        if any(limit is not None and not 0 <= limit < inf for limit in (self.fail, self.warn)):
            raise ValueError("a tolerance must be a fraction of 0 or more")


@dataclass(frozen=True, slots=True)
class Suite:
    """A checked suite. It measures its variants alone, in networks, or both.

    source: the file that errors point to.
    shapes: where the variants are measured alone.
    networks, images: where the variants are measured inside a network.
    published: whether its cases are the networks of the papers.
    timed: whether latency is measured.
    """

    name: str
    title: Title
    source: str
    grids: tuple[Grid, ...]
    shapes: tuple[Shape, ...]
    baseline: str = USUAL_BASELINE
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=usual_axes)
    leave_out: tuple[str, ...] = ()
    budget_s: Seconds | None = None
    precision: Precision | None = None
    sessions: Sessions | None = None
    tolerances: tuple[Tolerance, ...] = ()
    networks: tuple[Network, ...] = ()
    images: tuple[Shape, ...] = ()
    published: bool = False
    timed: bool = True


@dataclass(frozen=True, slots=True)
class Aim:
    """The shapes or networks that replace those of a suite.

    name: the name of the new suite.
    modes, executions: none keeps those of the suite.
    also: modules beside those of the suite.
    """

    name: str
    shapes: tuple[Shape, ...] = ()
    networks: tuple[Network, ...] = ()
    images: tuple[Shape, ...] = ()
    modes: tuple[Mode, ...] = ()
    also: tuple[str, ...] = ()
    executions: tuple[Execution, ...] = ()
