"""Finds stored figures that are still valid: same machine, software, settings and code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from attn_bench.catalog import code
from attn_bench.engine.process import worker_environment
from attn_bench.jobs.recommend.limits import known_interval
from attn_bench.model import machine, protocol
from attn_bench.model.axes import DeviceName, Pages
from attn_bench.model.case import Case
from attn_bench.model.environment import Machine, fingerprint_of, is_overloaded
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED
from attn_bench.store import runs
from attn_bench.store.info import SCHEMA, RunInfo
from attn_bench.store.runs import StoredRun


@dataclass(frozen=True)
class Here:
    """The facts that a worker would find here; some come from a worker, if one ran.

    sources: the digest of each module that a stored run may consist of, as it is now.
    loaded: the names of those that a worker has loaded.
    device_facts: the facts of a GPU, which only a worker knows. The facts of a CPU follow from the
        machine and the software, so they are not compared.
    """

    device: DeviceName
    threads: int | None
    pages: Pages
    sources: Mapping[str, str]
    modules_from: tuple[str, ...] = ()
    loaded: frozenset[str] = frozenset()
    device_facts: Mapping[str, Any] | None = None

    @cached_property
    def _machine(self) -> Machine:
        return machine.capture()

    @cached_property
    def _settings(self) -> dict[str, str]:
        return protocol.settings_in(worker_environment(self.pages))

    def holds(self, info: RunInfo) -> bool:
        """Whether a run here would measure under the same conditions as the run of `info`."""
        then = info.environment
        return (
            info.state == "finished"
            and info.schema == SCHEMA
            and info.kind == "run"
            and bool(info.sources)
            and code.first_difference(info.sources, self.sources, self.loaded) is None
            and info.request is not None
            and info.request.modules_from == self.modules_from
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
    """A stored row and its run."""

    row: Row
    run: StoredRun


IsGood = Callable[[Row, StoredRun], bool]


def find_stored(cases: Mapping[str, Case], here: Here, is_good: IsGood) -> dict[str, Found]:
    """The newest valid stored row of each case that `is_good`.

    The failed row of a case that cannot be built is found, too.
    """
    found: dict[str, Found] = {}
    for run in _runs(here):
        for row in run.rows:
            case = cases.get(row.case_id)
            if case is None or row.case_id in found or not _is_of(row, case):
                continue
            is_sound = _is_sound(row) and not is_overloaded(run.info.environment)
            if row.status == "failed" or (is_sound and is_good(row, run)):
                found[row.case_id] = Found(row, run)
        if len(found) == len(cases):
            break
    return found


def stored_names() -> set[str]:
    """The names of the modules that the stored runs consist of."""
    return {name for _, info in runs.list_newest_first() for name in info.sources}


def _is_of(row: Row, case: Case) -> bool:
    """Whether the columns of the row, and not only its id, are those of the case."""
    return all(getattr(row, name) == value for name, value in case.columns().items())


def _is_sound(row: Row) -> bool:
    """Whether the figures of the row are plausible, be they precise or not."""
    counts = (row.params, row.macs, row.peak_memory_bytes)
    return (
        row.status in COUNTED
        and all(count is None or count >= 0 for count in counts)
        and all(_is_interval(known_interval(row, metric)) for metric in ("latency_us", "ratio"))
    )


def _is_interval(found: Interval | None) -> bool:
    return found is not None and isfinite(found.hi) and 0 < found.lo <= found.value <= found.hi


def _runs(here: Here) -> Iterator[StoredRun]:
    """The stored runs that are valid here, the newest first; unreadable runs are left out."""
    for path, info in runs.list_newest_first():
        if here.holds(info):
            with suppress(RequestError):
                yield runs.load(path)
