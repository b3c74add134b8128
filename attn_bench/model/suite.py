"""What is to be measured: a suite, its grids and tolerances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import inf

from attn_bench.model.axes import SUITE_AXES, Mode
from attn_bench.model.case import Extent, Network, Scalar, Shape, StageExtents, Variant
from attn_bench.model.metrics import TOLERABLE

USUAL_BASELINE = "identity"
LATENCY_TOLERANCE = 0.03  # the growth of latency that `check` lets pass, unless told otherwise


def usual_axes() -> dict[str, tuple[str, ...]]:
    """Every axis of a suite at its usual value."""
    return {axis.name: (axis.usual,) for axis in SUITE_AXES}


@dataclass(frozen=True, slots=True)
class Grid:
    """One `[[grid]]` of a suite: every module with every extent and every argument."""

    modules: tuple[str, ...]
    extents: tuple[Extent | StageExtents, ...] | None = None
    arguments: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()

    def variants(self) -> Iterator[Variant]:
        """In the order in which they are written, the last argument changing fastest."""
        names = [name for name, _ in self.arguments]
        fixed = list(product(*(values for _, values in self.arguments)))
        for module, extent, values in product(self.modules, self.extents or (None,), fixed):
            yield Variant(module, extent, tuple(zip(names, values, strict=True)))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much `metric` of the modules that match the glob may grow, as fractions.

    Beyond `fail` a check fails; beyond `warn` it says so. None leaves that to the rules before.
    """

    metric: str
    module: str = "*"
    fail: float | None = None
    warn: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in TOLERABLE:
            raise ValueError(f"unknown metric {self.metric!r}")
        if any(limit is not None and not 0 <= limit < inf for limit in (self.fail, self.warn)):
            raise ValueError("a tolerance is a fraction from 0")


@dataclass(frozen=True, slots=True)
class Suite:
    """A checked suite; `source` is the file that errors point to.

    Its variants are measured alone at `shapes`, and in each of `networks` at `images`. published:
    its cases are the networks of the papers. timed: whether latency is wanted at all.
    """

    name: str
    title: str
    source: str
    grids: tuple[Grid, ...]
    shapes: tuple[Shape, ...]
    baseline: str = USUAL_BASELINE
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=usual_axes)
    leave_out: tuple[str, ...] = ()
    budget_s: float | None = None
    precision: float | None = None
    sessions: int | None = None
    tolerances: tuple[Tolerance, ...] = ()
    networks: tuple[Network, ...] = ()
    images: tuple[Shape, ...] = ()
    published: bool = False
    timed: bool = True


@dataclass(frozen=True, slots=True)
class Aim:
    """What the variants of a suite are to be measured in, instead of the suite's own shapes and
    networks. name: of the suite that it makes. mode: None leaves that to the suite."""

    name: str
    shapes: tuple[Shape, ...] = ()
    networks: tuple[Network, ...] = ()
    images: tuple[Shape, ...] = ()
    mode: Mode | None = None
