"""The frozen vocabulary of the project: what was asked, what came out, the columns of a table.

Everything here is a value: immutable, comparable, free of behaviour that needs torch or a file.
Units stand in names; what is unknown is None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import product
from math import inf
from typing import Any, Literal, get_args

Extent = int | Literal["global"]
StageExtents = tuple[Extent, ...]
DType = Literal["float32", "bfloat16", "float16", "float64"]
MemoryFormat = Literal["contiguous", "channels_last"]
Mode = Literal["inference", "training"]
Execution = Literal["eager", "compile"]
DeviceName = Literal["cpu", "cuda"]
Status = Literal["ok", "failed", "timeout", "out_of_memory", "unsupported", "skipped"]
Scalar = str | int | float | bool

# What `verify` holds a variant to, in the order of its columns: docs/verify.md explains them.
Check = Literal[
    "builds",
    "forward",
    "input",
    "bfloat16",
    "channels_last",
    "gradients",
    "rows",
    "repeats",
    "state",
    "odd_sizes",
    "agrees",
    "compiles",
    "exports",
    "refuses",
]
CHECKS: tuple[Check, ...] = get_args(Check)
CheckVerdict = Literal["passed", "failed", "not_applicable", "lost"]

# What `check` compares: time, and the exact metrics; the gated ones may not grow unless told so.
LATENCY = "latency"
GATED = ("params", "macs", "bytes_min", "activations", "peak_memory_bytes")
EXACT = (*GATED, "buffers", "macs_fvcore", "elementwise_ops")
TOLERABLE = (LATENCY, *EXACT)

# The reserved name of a backbone without a module: the anchor of the networks made of it.
PLAIN = "plain"
USUAL_PLACE = "block"
USUAL_ANCHOR = "identity"
LEAST_IMAGE, USUAL_IMAGE = 32, 224  # sides of the images of networks

# What `check` compares with: the other version of a module, registered under its name and this.
BASE = "@base"

DTYPES: tuple[DType, ...] = get_args(DType)
ITEM_BYTES: Mapping[str, int] = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Shape:
    """An NCHW input."""

    batch: int
    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.channels}x{self.height}x{self.width}"

    @property
    def elements(self) -> int:
        return self.batch * self.channels * self.height * self.width


@dataclass(frozen=True, slots=True)
class Variant:
    """A registered module with its arguments fixed; in a network, its extent may be one a stage."""

    module: str
    extent: Extent | StageExtents | None = None
    arguments: tuple[tuple[str, Scalar], ...] = ()

    @property
    def label(self) -> str:
        """`ge_theta(extent=4, rd_ratio=0.25)`; the bare name where nothing is fixed."""
        fixed = [] if self.extent is None else [f"extent={self.extent_in_words}"]
        inside = ", ".join([*fixed, *(f"{name}={value!r}" for name, value in self.arguments)])
        return f"{self.module}({inside})" if inside else self.module

    @property
    def extent_in_words(self) -> Extent | str | None:
        """As a cell has it: one extent a stage is `8-4-2-global`."""
        if isinstance(self.extent, tuple):
            return "-".join(str(extent) for extent in self.extent)
        return self.extent

    def at_stage(self, stage: int) -> Extent | None:
        """The extent in stage `stage` of a network, from 1."""
        return self.extent[stage - 1] if isinstance(self.extent, tuple) else self.extent


@dataclass(frozen=True, slots=True)
class Network:
    """A backbone and the place in it that a variant is put into, as `networks.Place` reads it."""

    backbone: str
    place: str = USUAL_PLACE

    def __str__(self) -> str:
        usual = self.place == USUAL_PLACE
        return self.backbone if usual else f"{self.backbone}:{self.place}"


@dataclass(frozen=True, slots=True)
class Case:
    """A variant at one shape, dtype, memory format, mode, execution and device.

    With a network it is the whole network that is measured, and `shape` is its images. The variant
    called PLAIN is the backbone as it is.
    """

    variant: Variant
    shape: Shape
    dtype: DType = "float32"
    memory_format: MemoryFormat = "contiguous"
    mode: Mode = "inference"
    execution: Execution = "eager"
    device: DeviceName = "cpu"
    network: Network | None = None

    @property
    def id(self) -> str:
        """Stable and readable: `se/8x256x56x56/float32/contiguous/inference/eager/cpu`.

        Of a network: `resnet50+se/1x3x224x224/…`, or `resnet50/1x3x224x224/…` without a module.
        """
        if self.network is None:
            what = self.variant.label
        else:
            what = f"{self.network}" + ("" if self.is_plain else f"+{self.variant.label}")
        return "/".join(
            [
                what,
                str(self.shape),
                self.dtype,
                self.memory_format,
                self.mode,
                self.execution,
                self.device,
            ]
        )

    @property
    def is_plain(self) -> bool:
        return self.network is not None and self.variant.module == PLAIN

    @property
    def is_base(self) -> bool:
        return self.variant.module.endswith(BASE)

    @property
    def base(self) -> Case:
        """The same case of the version that is compared with."""
        return replace(self, variant=replace(self.variant, module=self.variant.module + BASE))

    @property
    def current(self) -> Case:
        """The same case of the version that is not the base."""
        name = self.variant.module.removesuffix(BASE)
        return replace(self, variant=replace(self.variant, module=name))

    @property
    def input_key(self) -> tuple[Shape, DType, MemoryFormat]:
        """What an input depends on: cases that share it are measured on the same tensor."""
        return self.shape, self.dtype, self.memory_format

    @property
    def input_bytes(self) -> int:
        return self.shape.elements * ITEM_BYTES[self.dtype]

    def columns(self) -> dict[str, Any]:
        """The columns of the table that are known before anything is measured."""
        return {
            "case_id": self.id,
            "module": self.variant.module,
            "variant": self.variant.label,
            "extent": self.variant.extent_in_words,
            "backbone": self.network.backbone if self.network else None,
            "place": self.network.place if self.network and not self.is_plain else None,
            "channels": self.shape.channels,
            "height": self.shape.height,
            "width": self.shape.width,
            "batch": self.shape.batch,
            "dtype": self.dtype,
            "memory_format": self.memory_format,
            "mode": self.mode,
            "execution": self.execution,
            "device": self.device,
        }


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
    anchor: str = USUAL_ANCHOR
    dtypes: tuple[DType, ...] = ("float32",)
    memory_formats: tuple[MemoryFormat, ...] = ("contiguous",)
    modes: tuple[Mode, ...] = ("inference",)
    executions: tuple[Execution, ...] = ("eager",)
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
    """The cases in the table's order, the anchor of each, and those ruled out with a reason."""

    cases: tuple[Case, ...]
    anchor_of: Mapping[str, str]
    unsupported: Mapping[str, str]

    @property
    def measurable(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.id not in self.unsupported)


@dataclass(frozen=True, slots=True)
class Facts:
    """The static metrics of a case; None where one could not be had, with the reason in `notes`."""

    params: int
    buffers: int
    bytes_min: int
    macs_fvcore: int | None = None
    macs: int | None = None
    elementwise_ops: int | None = None
    activations: int | None = None
    peak_memory_bytes: int | None = None
    bound_us: float | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: its status with the reason, and its facts if it got that far."""

    case_id: str
    status: Status
    error: str | None = None
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one check of a variant, and why.

    not_applicable: there is nothing to hold it to. lost: the worker died or hung over it.
    """

    verdict: CheckVerdict
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """`calls` back-to-back calls timed as one, after one untimed call of `first_call_s`."""

    case_id: str
    session: int
    round: int
    position: int
    calls: int
    seconds: float
    device_seconds: float | None = None
    first_call_seconds: float = 0.0
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    lo: float
    hi: float

    @property
    def half_width(self) -> float:
        return (self.hi - self.lo) / 2

    def times(self, factor: float) -> tuple[float, float, float]:
        """(value, lo, hi) in another unit."""
        return self.value * factor, self.lo * factor, self.hi * factor


def column(unit: str, about: str) -> Any:
    """A field of `Row`: empty unless given; `unit` and `about` are what `list metrics` prints."""
    return field(default=None, metadata={"unit": unit, "about": about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case in a table: the only home of the columns, their units and what they mean."""

    case_id: str = column("", "stable, readable name of the case")
    module: str = column("", "name in the registry")
    variant: str = column("", "module with its arguments")
    extent: Extent | str | None = column(
        "", "extent ratio of the gather; empty for modules without one; 8-4-2-global: one a stage"
    )
    backbone: str | None = column("", "the network that was measured whole; empty for a module")
    place: str | None = column("", "where in the backbone the module stands; empty without one")
    channels: int = column("", "channels of the input, C")
    height: int = column("", "height of the input, H")
    width: int = column("", "width of the input, W")
    batch: int = column("", "images in the input, N")
    dtype: str = column("", "type of input and parameters")
    memory_format: str = column("", "contiguous (NCHW) or channels_last (NHWC)")
    mode: str = column("", "inference (forward), or training (forward and backward)")
    execution: str = column("", "eager or torch.compile")
    device: str = column("", "cpu or cuda")
    threads: int | None = column("", "threads that PyTorch used")
    params: int | None = column("", "learnable parameters")
    buffers: int | None = column("", "elements of floating-point buffers (BatchNorm statistics)")
    macs_fvcore: int | None = column("", "fvcore's FlopCountAnalysis total of the forward pass")
    macs: int | None = column(
        "", "multiply-accumulates of convolutions and matrix products, forward"
    )
    elementwise_ops: int | None = column(
        "", "all other arithmetic of the forward pass: pooling, gates, norms, activations"
    )
    bytes_min: int | None = column(
        "bytes", "least traffic: input, output and parameters once each (training: twice)"
    )
    activations: int | None = column("", "fvcore's ActivationCountAnalysis total")
    peak_memory_bytes: int | None = column(
        "bytes", "most memory allocated at once during a call, beyond input and parameters"
    )
    latency_us: float | None = column("µs", "time a caller waits for one call: median over rounds")
    latency_lo_us: float | None = column("µs", "lower end of its 95 % interval")
    latency_hi_us: float | None = column("µs", "upper end of its 95 % interval")
    device_us: float | None = column("µs", "time on the device alone, L2 cold; empty on CPU")
    device_lo_us: float | None = column("µs", "lower end of its 95 % interval")
    device_hi_us: float | None = column("µs", "upper end of its 95 % interval")
    ratio: float | None = column(
        "×", "latency over the anchor's at the same shape, paired by round"
    )
    ratio_lo: float | None = column("×", "lower end of its 95 % interval")
    ratio_hi: float | None = column("×", "upper end of its 95 % interval")
    bound_us: float | None = column(
        "µs", "what bytes_min and the arithmetic take at this machine's measured rates"
    )
    bound_fraction: float | None = column("", "bound_us over latency_us: 1 is as fast as can be")
    rounds: int | None = column("", "rounds behind the figures, the warm-up round left out")
    sessions: int | None = column("", "worker processes behind the figures")
    status: Status = column("", "ok, failed, timeout, out_of_memory, unsupported or skipped")
    error: str | None = column("", "the reason, where status is not ok")


COLUMNS: tuple[str, ...] = tuple(item.name for item in fields(Row))
CASE_COLUMNS: tuple[str, ...] = COLUMNS[: COLUMNS.index("threads")]
