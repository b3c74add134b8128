"""A fleet: many hosts that measure one suite, with a shard for each device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from attn_bench.model.bounds import Lease
from attn_bench.model.request import RunRequest
from attn_bench.model.suite import Suite

LEASE_S = 120.0
BEATS = 4  # in a lease
# What a shard belongs to: a kind of device, or each host of that kind.
Per = Literal["device", "host"]
# free: nobody holds it. held: its owner beats. done: it is measured. lost: its owner stopped.
ShardState = Literal["free", "held", "done", "lost"]


@dataclass(frozen=True, kw_only=True)
class FleetPlan:
    """What each host of a fleet measures; it is written once.

    suite: the suite as resolved.
    request: the settings of the run, without `command`, `out` and `wait`.
    code: one hash of `sources`.
    sources: the digest of each module that is measured, by its name.
    version: the version of attn-bench that made the plan.
    devices: the devices that are expected, as words in their names; may be empty.
    lease_s: a shard whose owner is silent for this long may be taken over.
    """

    suite: Suite
    request: RunRequest
    code: str
    version: str
    sources: Mapping[str, str] = field(default_factory=dict)
    per: Per = "device"
    devices: tuple[str, ...] = ()
    lease_s: Lease = LEASE_S


@dataclass(frozen=True)
class Shard:
    """The part of a fleet's work that one device does: all cases of the suite.

    name: the fingerprint of the device, or `<fingerprint>-<host>`.
    device: in words: the name of the GPU, or of the CPU.
    host: of the owner.
    done: cases with a result; while they are measured, in proportion to the spent budget.
    total: cases of the suite; 0 if not known yet.
    doing: the current case, or "".
    beat_age_s: how long ago the reader saw the owner's beat change; None without an owner.
    left_s: what is left of the budget; None if not known.
    work: the name of the owner's process, if a `fleet` started it.
    """

    name: str
    device: str
    host: str
    state: ShardState
    done: int
    total: int
    doing: str
    beat_age_s: float | None
    left_s: float | None = None
    work: str = ""
