"""Stored figures that hold now: of this machine, this software, these settings and this code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from attn_bench.catalog import registry
from attn_bench.engine.process import worker_environment
from attn_bench.model import environment, protocol
from attn_bench.model.axes import DeviceName
from attn_bench.model.case import Case
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.store import runs
from attn_bench.store.runs import StoredRun


@dataclass(frozen=True)
class Here:
    """What a worker would find: told by a worker where there was one, else without loading torch.

    device_facts: of a GPU, whose facts only a worker knows; on a CPU a stored run's own are
    compared, since they follow from the machine and the software.
    """

    device: DeviceName
    threads: int | None
    modules_from: tuple[str, ...] = ()
    device_facts: Mapping[str, Any] | None = None

    @cached_property
    def _machine(self) -> dict[str, Any]:
        return environment.capture()

    @cached_property
    def _settings(self) -> dict[str, str]:
        return protocol.settings_in(worker_environment())

    @cached_property
    def _code(self) -> str:
        return registry.code_hash(self.modules_from)

    def holds(self, info: Mapping[str, Any]) -> bool:
        """Whether what the run of that run.json measured would be measured now."""
        then, request = info["environment"], info.get("request")
        facts = self.device_facts or then.get("device_facts")
        if not isinstance(request, dict) or not isinstance(facts, dict):
            return False
        return (
            info.get("state") == "finished"
            and info.get("schema") == runs.SCHEMA
            and info.get("kind") is None
            and info.get("code") == self._code
            and request.get("threads") == self.threads
            and isinstance(then.get("threads"), int)
            and then.get("device") == self.device
            and then.get("python") == self._machine["python"]
            and then.get("software") == environment.software()
            and then.get("worker_settings") == self._settings
            and then.get("fingerprint") == environment.fingerprint(self._machine, facts)
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
    """The newest first."""
    for file in sorted(Path(runs.RESULTS).glob("*/run.json"), reverse=True):
        try:
            if here.holds(runs.read_info(file.parent)):
                yield runs.load(file.parent)
        except RequestError:
            continue  # not a run that can be read: nothing to reuse
