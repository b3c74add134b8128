"""The metrics: named quantities of a case. This is the one home of a metric.

A field of `Exact` or `Timed` is a metric. It defines the table's column, the gate of `check`, the
limit of `recommend`, the headings on console and page, the line of `list metrics` and the row in
results/README.md. `worker/metrics/` measures the exact metrics. A timed metric comes from blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

from annotated_types import Gt

from attn_bench.model import units
from attn_bench.model.bounds import Number, Time

Kind = Literal["exact", "timed", "derived"]
Show = Callable[[float | None], str]
# How a device was timed alone, from best to worst: its calls were replayed as a graph; they waited
# in the queue of a blocked stream; or the gaps between their launches count, too.
DeviceClock = Literal["graph", "queue", "launches"]
DEVICE_CLOCKS: tuple[DeviceClock, ...] = get_args(DeviceClock)


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


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of several back-to-back calls as one, after one untimed call.

    seconds: each call was waited for before the next one began.
    first_call_s: the time of the untimed call.
    queued_s: the time of as many calls without waiting between them; None if it was not measured.
    device_s: the time of as many calls on the device alone; None if it was not measured.
    device_clock: how `device_s` was measured.
    more_s: the time that measuring `queued_s` and `device_s` took.
    throttled: whether the device had reduced its clocks before or after; None if unknown.
    waited_s: the time that the threads of the process waited for a core while the calls ran, added
        up; None where the system does not report it.
    """

    seconds: Annotated[Time, Gt(0)]
    first_call_s: Time = 0.0
    queued_s: Time | None = None
    device_s: Time | None = None
    device_clock: DeviceClock | None = None
    more_s: Time = 0.0
    throttled: bool | None = None
    waited_s: Time | None = None

    @property
    def calling_s(self) -> float:
        """The time of all calls, timed or not."""
        return self.seconds + self.first_call_s + self.more_s


@dataclass(frozen=True, slots=True)
class Metric:
    """The facts of a metric, for code that handles all metrics alike.

    name: its column.
    heading: its heading on console and page; None if only the table shows it.
    show: formats a value for people.
    per_input: whether a module's value is shown as a multiple of its input.
    gated: whether `check` fails when it grows.
    more_is_better: whether growth is good; growth of all others is not.
    limit: its name in `--max-*` and in tolerances.
    example: an example of such a limit.
    sample: the seconds of all calls of a block, if the metric is timed.
    lo, hi: the columns of its interval.
    """

    name: str
    unit: str
    about: str
    kind: Kind
    heading: str | None = None
    show: Show = units.plain
    per_input: bool = False
    gated: bool = False
    limit: str | None = None
    example: str = ""
    more_is_better: bool = False
    sample: Callable[[Timing], float | None] | None = None
    lo: str | None = None
    hi: str | None = None


def column(unit: str, about: str, **metric: Any) -> Any:
    """A field of a row, empty by default; `metric` holds the other facts of a `Metric`."""
    return field(default=None, metadata={"unit": unit, "about": about, **metric})


def end(which: str, unit: str) -> Any:
    """The lower or upper end of the interval of the metric above it."""
    return column(unit, f"{which} end of its 95 % interval")


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The metrics that need no clock and are the same in every run; None if unknown."""

    params: Number | None = column(
        "",
        "learnable parameters",
        heading="params",
        show=units.count,
        gated=True,
        limit="params",
        example="30M",
    )
    buffers: Number | None = column("", "elements of floating-point buffers (BatchNorm statistics)")
    macs_fvcore: Number | None = column("", "fvcore's FlopCountAnalysis total of the forward pass")
    macs: Number | None = column(
        "",
        "multiply-accumulates of convolutions and matrix products, forward",
        heading="MACs",
        show=units.count,
        gated=True,
        limit="macs",
        example="4G",
    )
    elementwise_ops: Number | None = column(
        "", "all other arithmetic of the forward pass: pooling, gates, norms, activations"
    )
    bytes_min: Number | None = column(
        "bytes",
        "least traffic: input, output and parameters once each (training: twice)",
        show=units.bytes_,
        gated=True,
    )
    activations: Number | None = column("", "fvcore's ActivationCountAnalysis total", gated=True)
    peak_memory_bytes: Number | None = column(
        "bytes",
        "most memory allocated at once during a call, beyond input and parameters",
        heading="memory",
        show=units.bytes_,
        per_input=True,
        gated=True,
        limit="memory",
        example="512MiB",
    )


@dataclass(frozen=True, kw_only=True)
class Timed:
    """The metrics that a clock measures, with their 95 % intervals, and what follows from them."""

    latency_us: float | None = column(
        "µs",
        "time a caller waits for one call: trimmed mean over undisturbed rounds",
        heading="latency",
        show=units.microseconds,
        limit="latency",
        example="80ms",
        sample=lambda timing: timing.seconds,
    )
    latency_lo_us: float | None = end("lower", "µs")
    latency_hi_us: float | None = end("upper", "µs")
    queued_us: float | None = column(
        "µs",
        "time of one call among many in the queue: the reciprocal of the throughput; empty on CPU",
        sample=lambda timing: timing.queued_s,
    )
    queued_lo_us: float | None = end("lower", "µs")
    queued_hi_us: float | None = end("upper", "µs")
    device_us: float | None = column(
        "µs",
        "time on the device alone, L2 cold; empty on CPU",
        heading="device",
        show=units.microseconds,
        sample=lambda timing: timing.device_s,
    )
    device_lo_us: float | None = end("lower", "µs")
    device_hi_us: float | None = end("upper", "µs")
    images_per_s: float | None = column(
        "1/s",
        "throughput: batch over queued_us, on a CPU over latency_us",
        more_is_better=True,
    )
    images_per_s_lo: float | None = end("lower", "1/s")
    images_per_s_hi: float | None = end("upper", "1/s")
    ratio: float | None = column(
        "×",
        "latency over the baseline's at the same shape, paired by round",
        heading="× baseline",
    )
    ratio_lo: float | None = end("lower", "×")
    ratio_hi: float | None = end("upper", "×")
    over_fastest: float | None = column(
        "×", "latency over that of the fastest case at the same shape, paired by round"
    )
    over_fastest_lo: float | None = end("lower", "×")
    over_fastest_hi: float | None = end("upper", "×")
    bound_us: float | None = column(
        "µs", "time for bytes_min and the arithmetic at this machine's measured rates"
    )
    bound_fraction: float | None = column(
        "",
        "bound_us over device_us, on a CPU over latency_us: 1 is as fast as possible",
        more_is_better=True,
    )


def ends_of(name: str) -> tuple[str, str]:
    """The columns of the interval of a timed metric.

    >>> ends_of("latency_us"), ends_of("ratio")
    (('latency_lo_us', 'latency_hi_us'), ('ratio_lo', 'ratio_hi'))
    """
    stem, unit = (name.removesuffix("_us"), "_us") if name.endswith("_us") else (name, "")
    return f"{stem}_lo{unit}", f"{stem}_hi{unit}"


def _metrics() -> tuple[Metric, ...]:
    exact = [Metric(item.name, kind="exact", **item.metadata) for item in fields(Exact)]
    columns = {item.name: item for item in fields(Timed)}
    ends = {end for name in columns for end in ends_of(name)}
    timed = []
    for name, item in columns.items():
        lo, hi = ends_of(name)
        if lo in columns:
            kind: Kind = "timed" if "sample" in item.metadata else "derived"
            timed.append(Metric(name, kind=kind, lo=lo, hi=hi, **item.metadata))
        elif name not in ends:
            timed.append(Metric(name, kind="derived", **item.metadata))
    return (*exact, *timed)


METRICS = _metrics()
METRIC = {metric.name: metric for metric in METRICS}
EXACT = tuple(metric.name for metric in METRICS if metric.kind == "exact")
GATED = tuple(metric.name for metric in METRICS if metric.gated)
TIMED = tuple(metric for metric in METRICS if metric.kind == "timed")
LIMITS = {m.limit: m for m in (*TIMED, *METRICS) if m.limit is not None}
# What `check` compares: time under this name, and the exact metrics.
LATENCY = "latency"
TOLERABLE = (LATENCY, *EXACT)
