"""Makes the atlas of a fleet: its devices beside each other, each with the ratios of its host."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from attn_bench.analysis import fleet as analysis
from attn_bench.analysis.fleet import Agreement, Costs, Figure, OrderChange
from attn_bench.analysis.sick import Sick, find_sick
from attn_bench.model.environment import is_overloaded
from attn_bench.model.errors import RequestError
from attn_bench.model.row import Row
from attn_bench.model.status import Exit
from attn_bench.plan.cases import make_selection
from attn_bench.store.fleet import DoneShard, Fleet
from attn_bench.store.fleet_tables import write_parquet

COMPARED = "se"  # the module that every other one is compared with, beside the baseline


class NothingMeasured(RequestError):
    """No shard of the fleet is measured yet."""

    exit_status = Exit.NOT_MEASURED


@dataclass(frozen=True)
class Device:
    """A shard that is measured.

    name: the device in words, with its host where several have that device.
    costs: none if it was busy.
    """

    name: str
    shard: DoneShard
    costs: Costs

    @property
    def is_busy(self) -> bool:
        """Whether other programs took so much of it that no time is valid."""
        return is_overloaded(self.shard.info.environment)

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.shard.rows

    def over_compared(self, row: Row) -> Figure | None:
        """The ratio of the row to COMPARED on this host; None if it is not known."""
        known = self.costs.get(analysis.subject_of(row), {})
        name = analysis.name_of(row)
        if COMPARED not in known or name not in known or name == COMPARED:
            return None
        return analysis.compare(known[name], known[COMPARED])


@dataclass(frozen=True)
class Atlas:
    """The devices of a fleet.

    changes: pairs of modules whose order certainly differs between two devices.
    agreements: how far each two devices agree in the order of modules.
    sick: hosts that differ from others of their kind.
    """

    fleet: Fleet
    devices: tuple[Device, ...]
    changes: tuple[OrderChange, ...]
    agreements: tuple[Agreement, ...]
    sick: tuple[Sick, ...]

    @property
    def baseline(self) -> str:
        return self.fleet.plan.suite.baseline


def make_atlas(
    fleet: Fleet, store: str, modules: str | None = None, where: str | None = None
) -> Atlas:
    """The atlas of what is measured.

    modules, where: only these cases.
    Raises NothingMeasured, or RequestError if no case is selected.
    """
    devices = list_devices(fleet, store, modules, where)
    costs = {device.name: device.costs for device in devices}
    kinds = {device.name: (device.shard.shard.device, device.costs) for device in devices}
    return Atlas(
        fleet,
        devices,
        analysis.find_order_changes(costs),
        analysis.find_agreements(costs),
        find_sick(kinds),
    )


def list_devices(
    fleet: Fleet, store: str, modules: str | None = None, where: str | None = None
) -> tuple[Device, ...]:
    """The devices that are measured, with the selected cases.

    Raises NothingMeasured, or RequestError if no case is selected.
    """
    if not fleet.done:
        states = Counter(shard.state for shard in fleet.unfinished)
        found = ", ".join(f"{count} {state}" for state, count in states.items()) or "it has none"
        raise NothingMeasured(f"{store}: no shard is measured yet ({found})")
    is_wanted = make_selection(modules, where)
    shards = [
        replace(shard, rows=tuple(row for row in shard.rows if is_wanted(asdict(row))))
        for shard in fleet.done
    ]
    if not any(shard.rows for shard in shards):
        raise RequestError(f"{store}: no case is selected by --where and --modules")
    baseline = fleet.plan.suite.baseline
    return tuple(
        Device(name, shard, _costs_of(shard, baseline))
        for name, shard in zip(name_shards(shards), shards, strict=True)
    )


def _costs_of(shard: DoneShard, baseline: str) -> Costs:
    is_busy = is_overloaded(shard.info.environment)
    return {} if is_busy else analysis.costs_of(shard.rows, baseline)


def name_shards(shards: Sequence[DoneShard]) -> list[str]:
    """A name for each shard: its device; then its host, or its own name, where that is needed."""
    names = [shard.shard.device for shard in shards]
    for more in ("host", "name"):
        alike = {name for name, count in Counter(names).items() if count > 1}
        names = [
            f"{name}, {getattr(shard.shard, more)}" if name in alike else name
            for name, shard in zip(names, shards, strict=True)
        ]
    return names


def write_rows(atlas: Atlas) -> bytes:
    """The table that `merge` writes, as Parquet, with the ratio of each row to COMPARED."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    merged = io.BytesIO()
    write_parquet(merged, [device.shard for device in atlas.devices])
    table = pq.read_table(merged)
    over = [device.over_compared(row) for device in atlas.devices for row in device.rows]
    for end, ending in (("value", ""), ("lo", "_lo"), ("hi", "_hi")):
        values = [None if figure is None else getattr(figure.interval, end) for figure in over]
        table = table.append_column(f"over_{COMPARED}{ending}", pa.array(values, pa.float64()))
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()
