"""A row of the table: one case with all its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import get_args

from attn_bench.model.axes import ITEM_BYTES, Conditions
from attn_bench.model.bounds import Index, Size, Threads
from attn_bench.model.case import USUAL_PLACE, Extent
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import METRIC, METRICS, DeviceClock, Exact, Interval, Timed, column
from attn_bench.model.status import Status

SMALLEST, LARGEST = 1e-12, 1e18  # of a known figure, in any unit


@dataclass(frozen=True, kw_only=True)
class Named:
    """The names and sizes of a case; its conditions are in `Conditions`."""

    case_id: str = column("", "stable, readable name of the case")
    module: str = column("", "name in the registry")
    variant: str = column("", "module with its arguments")
    arguments: str | None = column("", "arguments beside the extent; empty for the defaults")
    extent: Extent | str | None = column(
        "", "extent ratio of the gather; empty for modules without one; 8-4-2-global: one a stage"
    )
    backbone: str | None = column("", "the network that was measured whole; empty for a module")
    place: str | None = column("", "where in the backbone the module stands; empty without one")
    channels: Size = column("", "channels of the input, C")
    height: Size = column("", "height of the input, H")
    width: Size = column("", "width of the input, W")
    batch: Size = column("", "images in the input, N")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a case was measured, and what became of it."""

    threads: Threads | None = column("", "threads that PyTorch used")
    rounds: Index | None = column("", "rounds measured, without the warm-up round")
    sessions: Index | None = column("", "worker processes behind the figures")
    device_clock: DeviceClock | None = column(
        "",
        "how device_us was measured: graph (a replayed CUDA graph), queue (a blocked stream), or "
        "launches (it includes gaps between launches); empty on CPU",
    )
    status: Status = column("", f"what became of the case: {', '.join(get_args(Status))}")
    error: str | None = column("", "the reason, where status is not ok")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The run that a row belongs to. With them, the tables of many runs are one data set."""

    run: str | None = column("", "the run: the name of its folder when it was measured")
    start: str | None = column("", "when the run began, in UTC")
    suite: str | None = column("", "the suite of the run")
    revision: str | None = column("", "the git commit of the measured code; empty outside git")
    dirty: bool | None = column("", "whether the code had changes that were not committed")
    against: str | None = column("", "the git commit that a check compares with")
    code: str | None = column("", "hash of the measured code")
    machine: str | None = column("", "fingerprint of the machine and its device")
    software: str | None = column(
        "", "hash of Python, the worker's packages, its threads and its settings"
    )


@dataclass(frozen=True, kw_only=True)
class Row(Keys, Ended, Timed, Exact, Conditions, Named):
    """One case in a table.

    The order of its columns is `Named`, `Conditions`, `Exact`, `Timed`, `Ended`, `Keys`.
    """

    def check(self) -> None:
        """Raise RequestError for a stored row with figures that no run writes."""
        ends = {end for metric in METRICS for end in (metric.lo, metric.hi)}
        for name in COLUMNS:
            value = getattr(self, name)
            most = inf if name in ends else LARGEST
            if isinstance(value, float) and not 0 <= value <= most:
                raise RequestError(f"{self.case_id}: {name} cannot be {value}")
        for metric in METRICS:
            if metric.lo is None or metric.hi is None:
                continue
            value, lo, hi = (getattr(self, name) for name in (metric.name, metric.lo, metric.hi))
            if value is None:  # too imprecise, so its ends may lie anywhere
                is_wrong = (lo is None) != (hi is None) or (lo is not None and not lo <= hi > 0)
            else:
                is_wrong = None in (lo, hi) or not SMALLEST <= lo <= value <= hi <= LARGEST
            if is_wrong or lo == inf:
                raise RequestError(
                    f"{self.case_id}: {metric.name} cannot be {value} between {lo} and {hi}"
                )

    def interval(self, metric: str) -> Interval | None:
        """A timed metric with its 95 % interval; None if it was not measured."""
        names = (metric, METRIC[metric].lo, METRIC[metric].hi)
        value, lo, hi = (getattr(self, str(name)) for name in names)
        return None if value is None else Interval(value, lo, hi)

    @property
    def bounded(self) -> Interval | None:
        """The time that `bound_us` bounds: the device's own where it was measured, or the latency.

        The rates behind the bound were measured by the same clock, so no case can beat its bound
        because its data were in a cache.
        """
        return self.interval("latency_us" if self.device_lo_us is None else "device_us")

    @property
    def shape_in_words(self) -> str:
        return f"{self.batch}×{self.channels}×{self.height}×{self.width}"

    @property
    def input_bytes(self) -> int:
        return self.batch * self.channels * self.height * self.width * ITEM_BYTES[self.dtype]

    @property
    def memory_multiple(self) -> float | None:
        """Peak memory as a multiple of the input."""
        peak = self.peak_memory_bytes
        return None if peak is None else peak / self.input_bytes

    @property
    def name(self) -> str:
        """The variant without its extent, with its place.

        The extent has a separate column. The place distinguishes cases of one table.
        """
        words = [f"{self.module}({self.arguments})" if self.arguments else self.module]
        if self.place not in (None, USUAL_PLACE):
            words.append(f"at {self.place}")
        return " ".join(words)


COLUMNS: tuple[str, ...] = tuple(item.name for item in fields(Row))
KEY_COLUMNS: tuple[str, ...] = tuple(item.name for item in fields(Keys))
CASE_COLUMNS: tuple[str, ...] = tuple(
    item.name for kind in (Named, Conditions) for item in fields(kind)
)
# Unit and meaning of each column.
UNIT: Mapping[str, str] = {i.name: str(i.metadata.get("unit", "")) for i in fields(Row)}
ABOUT: Mapping[str, str] = {i.name: str(i.metadata["about"]) for i in fields(Row)}
