"""The machine and the software of a run as a value, and what disturbed the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from attn_bench.model.axes import DEVICE, DeviceName, Pages
from attn_bench.model.bounds import Amount, Change, Fact, Number, Threads

# The facts that identify a machine; its other facts change with time.
FINGERPRINTED = ("cpu", "cores_physical", "cores_logical", "cores_usable", "machine", "system")
# Other conditions without which times cannot be compared.
BESIDE_THE_MACHINE = ("software", "python", "threads", "worker_settings")
BUSY_CORES = 0.15  # of other work while measuring; below this, background work is normal
MUCH_WORK = 0.4  # cores: less is a short task, which leaves most rounds alone
MOST_OTHER_SHARE = 0.35  # of the cores: beside more, even undisturbed blocks may be slower
STOLEN_SHARE = 0.02
DRIFT = 0.1  # between the beginning of a session and the rest

# What may disturb the figures of a run: a closed list. `view` turns each into advice.
Disturbance = Literal[
    "other_load",
    "stolen_time",
    "governor",
    "cpu_throttled",
    "swapped_in",
    "swap_in_use",
    "warm_up_drift",
    "too_many_threads",
    "crowded",
    "no_huge_pages",
    "hyper_threads",
    "gpu_throttled",
    "gpu_power_limit",
    "gpu_clocks_unknown",
    "changed_by_files",
]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts and settings of a machine. Nothing names the user, the host or a path.

    huge_pages: when the kernel gives huge pages: always, madvise (if asked), or never.
    """

    cpu: str | None = None
    cores_physical: Number | None = None
    cores_logical: Number | None = None
    cores_usable: Number | None = None
    governor: str | None = None
    memory_bytes: Number = 0
    swap_used_bytes: Number | None = None
    system: str | None = None
    os: str | None = None
    machine: str | None = None
    huge_pages: str | None = None
    virtual_machine: bool | None = None
    container: bool | None = None
    python: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Environment(Machine):
    """The machine, the worker's device and software, and other work during the run.

    worker_settings: variables that decide how a worker computes.
    pages: what the workers' memory lies in; None for a run of an older version.
    load: the load average over the last minute.
    other_cores_at_start: used by other work while the worker started.
    throttled_blocks: blocks at whose ends the device reduced its clocks; None if it does not tell.
    changed_by_files: what users' files changed for their whole process; it was put back.
    warm_up_drift: how much slower the beginning of a session was than the rest, as a fraction.
    """

    device: DeviceName
    device_facts: Mapping[str, Fact] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    threads: Threads | None = None
    worker_settings: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    pages: Pages | None = None
    other_cores_at_start: Amount | None = None
    load_at_start: Amount | None = None
    load_at_end: Amount | None = None
    other_load_cores: Amount | None = None
    stolen_share: Amount | None = None
    throttle_events: Number | None = None
    swapped_in_bytes: Number | None = None
    warm_up_drift: Change | None = None
    throttled_blocks: Number | None = None
    changed_by_files: tuple[str, ...] = ()


def fingerprint_of(machine: Machine, device: DeviceName, device_facts: Mapping[str, Any]) -> str:
    """A hash that identifies a machine; clocks, load and kernel version do not change it."""
    described = asdict(machine)
    facts = [described[key] for key in FINGERPRINTED]
    facts += [round(machine.memory_bytes / 2**30)]
    facts += [device_facts.get(key) for key in DEVICE[device].identity]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def software_hash_of(environment: Environment) -> str:
    """A hash of all that decides a time besides the machine and the measured code."""
    facts = [getattr(environment, cause) for cause in BESIDE_THE_MACHINE]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def device_in_words(seen: Environment) -> str:
    """The name of the GPU, or of the CPU."""
    return str(seen.device_facts.get("gpu") or seen.cpu or seen.machine or seen.device)


@dataclass(frozen=True)
class Difference:
    """A condition of two runs that differs, and without which their times cannot be compared.

    cause: the field of `Environment`; key: what differs in it, if it is a mapping.
    """

    cause: str
    key: str | None
    then: Any
    now: Any


def find_difference(then: Environment, now: Environment) -> Difference | None:
    """The first condition that differs; None if the times can be compared. Unknown differs."""
    for cause in ("fingerprint", *BESIDE_THE_MACHINE):
        before, after = getattr(then, cause), getattr(now, cause)
        if before == after and before not in (None, {}, ""):
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            keys = sorted(before.keys() | after.keys())
            key = next((key for key in keys if before.get(key) != after.get(key)), None)
            return Difference(cause, key, before.get(key), after.get(key))
        return Difference(cause, None, before, after)
    return None


def is_short_of_cores(seen: Environment) -> bool:
    """Whether, at the start, PyTorch's threads outnumbered the cores without other work."""
    busy = seen.other_cores_at_start or 0.0
    free = (seen.cores_usable or 1) - busy
    return busy > MUCH_WORK and (seen.threads or 1) > free + MUCH_WORK


def is_overloaded(seen: Environment) -> bool:
    """Whether other work took so much while measuring that no time is valid for a quiet machine."""
    cores, other = seen.cores_usable or 1, seen.other_load_cores or 0.0
    return other > MOST_OTHER_SHARE * cores and (seen.threads or 1) + other > cores


def find_disturbances(seen: Environment) -> tuple[Disturbance, ...]:
    """The disturbances of a run, in the order of `Disturbance`."""
    gpu = seen.device_facts
    cores, threads = seen.cores_usable or 1, seen.threads or 1
    is_crowded = threads > cores
    limit, usual_limit = (_watts(gpu.get(f"power_limit{which}_w")) for which in ("", "_default"))
    found: dict[Disturbance, bool] = {
        "other_load": (seen.other_load_cores or 0.0) > BUSY_CORES,
        "stolen_time": (seen.stolen_share or 0.0) > STOLEN_SHARE,
        "governor": seen.governor not in (None, "performance"),
        "cpu_throttled": bool(seen.throttle_events),
        "swapped_in": bool(seen.swapped_in_bytes),
        "swap_in_use": bool(seen.swap_used_bytes) and not seen.swapped_in_bytes,
        "warm_up_drift": (seen.warm_up_drift or 0.0) > DRIFT,
        "too_many_threads": is_crowded,
        "crowded": not is_crowded and is_short_of_cores(seen),
        "no_huge_pages": seen.pages == "huge" and seen.huge_pages == "never",
        "hyper_threads": not is_crowded and threads > (seen.cores_physical or threads),
        "gpu_throttled": bool(seen.throttled_blocks),
        "gpu_power_limit": 0 < limit < usual_limit,
        "gpu_clocks_unknown": "gpu" in gpu and seen.throttled_blocks is None,
        "changed_by_files": bool(seen.changed_by_files),
    }
    return tuple(name for name, is_so in found.items() if is_so)


def _watts(fact: Fact) -> float:
    """A fact as a number; 0 if it is unknown."""
    return float(fact) if isinstance(fact, int | float) else 0.0
