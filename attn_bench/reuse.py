"""Stored figures that hold now: of this machine, this software, these settings and this code."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from attn_bench import environment, protocol, registry, store
from attn_bench.errors import RequestError
from attn_bench.process import worker_environment
from attn_bench.record import DeviceName, Interval, Row
from attn_bench.store import StoredRun
from attn_bench.summary import interval_of


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
        then, request = info["environment"], info.get("request") or {}
        facts = self.device_facts or then.get("device_facts") or {}
        return (
            info.get("state") == "finished"
            and info.get("kind") is None
            and info.get("code") == self._code
            and request.get("threads") == self.threads
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


def stored_rows(wanted: Collection[str], here: Here) -> dict[str, Found]:
    """The most precise stored row of each case of `wanted` that has one which holds now."""
    found: dict[str, Found] = {}
    for run in _runs(here):
        for row in run.rows:
            ratio = interval_of(row, "ratio")
            if row.case_id not in wanted or row.status != "ok" or ratio is None:
                continue
            before = found.get(row.case_id)
            if before is None or _width(ratio) < _width(interval_of(before.row, "ratio")):
                found[row.case_id] = Found(row, run)
    return found


def _width(ratio: Interval | None) -> float:
    return ratio.half_width / ratio.value if ratio else float("inf")


def _runs(here: Here) -> Iterator[StoredRun]:
    """The newest first: of two alike, the newer holds."""
    for file in sorted(Path(store.RESULTS).glob("*/run.json"), reverse=True):
        try:
            if here.holds(store.read_info(file.parent)):
                yield store.load(file.parent)
        except RequestError:
            continue  # not a run that can be read: nothing to reuse
