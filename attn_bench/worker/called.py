"""A case after one call, for its exact metrics."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attn_bench.worker.build import Built
from attn_bench.worker.devices.base import Device


@dataclass(frozen=True, slots=True)
class CalledCase:
    """A built case, its device, and the result of its forward pass."""

    built: Built
    device: Device
    result: Tensor
