"""Stored figures that hold now: of this machine, this software, these settings and this code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from attn_bench.catalog import loading
from attn_bench.engine.process import worker_environment
from attn_bench.model import machine, protocol
from attn_bench.model.axes import DeviceName
from attn_bench.model.case import Case
from attn_bench.model.environment import Machine, fingerprint_of
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.store import runs
from attn_bench.store.info import SCHEMA, RunInfo
from attn_bench.store.runs import StoredRun


@dataclass(frozen=True)
class Here:
    """What a worker would find here: by a worker where one ran, else without loading torch.

    device_facts: of a GPU, whose facts only a worker knows; on a CPU a stored run's own are
    compared, since they follow from the machine and the software.
    """

    device: DeviceName
    threads: int | None
    modules_from: tuple[str, ...] = ()
    device_facts: Mapping[str, Any] | None = None

    @cached_property
    def _machine(self) -> Machine:
        return machine.capture()

    @cached_property
    def _settings(self) -> dict[str, str]:
        return protocol.settings_in(worker_environment())

    @cached_property
    def _code(self) -> str:
        return loading.code_hash(self.modules_from)

    def holds(self, info: RunInfo) -> bool:
        """Whether what the run of that run.json measured would be measured now."""
        then = info.environment
        return (
            info.state == "finished"
            and info.schema == SCHEMA
            and info.kind == "run"
            and info.code == self._code
            and info.request is not None
            and info.request.threads == self.threads
            and then.threads is not None
            and then.device == self.device
            and then.python == self._machine.python
            and then.software == machine.software()
            and then.worker_settings == self._settings
            and then.fingerprint
            == fingerprint_of(self._machine, self.device, self.device_facts or then.device_facts)
        )


@dataclass(frozen=True)
class Found:
    """A stored row, and the run it is of."""

    row: Row
    run: StoredRun


IsGood = Callable[[Row, StoredRun], bool]


def stored_rows(wanted: Mapping[str, Case], here: Here, is_good: IsGood) -> dict[str, Found]:
    """Of each case of `wanted` the newest stored row that holds now and that `is_good`, if there is
    one. A case that cannot be built is found as such."""
    found: dict[str, Found] = {}
    for run in _runs(here):
        for row in run.rows:
            case = wanted.get(row.case_id)
            if case is None or row.case_id in found or not _is_of(row, case):
                continue
            if row.status == "failed" or (_is_sound(row) and is_good(row, run)):
                found[row.case_id] = Found(row, run)
        if len(found) == len(wanted):
            break
    return found


def _is_of(row: Row, case: Case) -> bool:
    """Whether its columns are those of the case, and not only its id."""
    return all(getattr(row, name) == value for name, value in case.columns().items())


def _is_sound(row: Row) -> bool:
    """Whether its figures are such as a measurement gives."""
    counts = (row.params, row.macs, row.peak_memory_bytes)
    return (
        row.status == "ok"
        and all(count is None or count >= 0 for count in counts)
        and all(_is_interval(row.interval(metric)) for metric in ("latency_us", "ratio"))
    )


def _is_interval(found: Interval | None) -> bool:
    return found is not None and isfinite(found.hi) and 0 < found.lo <= found.value <= found.hi


def _runs(here: Here) -> Iterator[StoredRun]:
    """The newest first; a run that cannot be read is not reused."""
    for path, info in runs.list_newest_first():
        if here.holds(info):
            with suppress(RequestError):
                yield runs.load(path)
