"""A case that was built and called once, for its exact metrics."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attn_bench.worker.build import Built
from attn_bench.worker.devices.base import Device


@dataclass(frozen=True, slots=True)
class CalledCase:
    """A case as built, its device, and the result of its forward pass."""

    built: Built
    device: Device
    result: Tensor
