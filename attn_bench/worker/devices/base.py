"""The interface of a device, and how to open one by its name.

A new device is a file in this folder, named like its value in `model/axes.py`. A device measures
time and memory, and knows its own facts. The rest of a worker is the same for all devices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from attn_bench.model.axes import (
    AUTO,
    AUTO_ORDER,
    DEVICE_CHOICES,
    DeviceName,
    is_offered,
    split_device,
)
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.metrics import Timing
from attn_bench.worker.lookup import find_class

Call = Callable[[], object]


class Device(ABC):
    """One device in one worker process.

    matrix_side: the side of the square matrices whose product measures the rate of arithmetic.
    index: its number among the devices of its name that PyTorch sees.
    """

    name: ClassVar[DeviceName]
    matrix_side: ClassVar[int]

    def __init__(self, index: int = 0) -> None:
        """Open the device; tensors on `name` then lie on this one."""
        self.index = index

    @classmethod
    @abstractmethod
    def count(cls) -> int:
        """How many of them this machine has that PyTorch can use."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """The facts for run.json: model, memory, driver, clocks.

        "gpu" is the model of a GPU. The keys of `identity` in `model/axes.py` identify the device.
        """

    @abstractmethod
    def limit_memory(self, limit_bytes: int | None) -> None:
        """Make every allocation beyond `limit_bytes` fail. None means the device's default."""

    def fair_share_bytes(self, workers: int) -> int | None:
        """The limit of memory at which so many workers fit at once; None if the device has none."""
        return None

    @abstractmethod
    def drain(self) -> None:
        """Wait until everything that was launched has finished."""

    def release(self) -> None:
        """Give back memory that is kept for later calls; other workers may need it."""
        return

    @abstractmethod
    def time_block(self, call: Call, calls: int) -> Timing:
        """Time `calls` calls as one, after one untimed call; garbage collection is off.

        Raises what a call raises.
        """

    @abstractmethod
    def peak_memory_bytes(self, call: Call) -> int:
        """The most memory that one `call` holds at any moment, beyond the memory held before."""


def open_device(name: str) -> Device:
    """The device of a choice of `--device`; "auto" takes the first of AUTO_ORDER that exists.

    Loads torch. Raises RequestError if this machine does not have the device.
    """
    if not is_offered(name, DEVICE_CHOICES):
        raise RequestError(f"--device {name}: unknown device{nearest(name, DEVICE_CHOICES)}")
    kind, index = split_device(name)
    count = 0
    for known in AUTO_ORDER if kind == AUTO else (kind,):
        device = find_class(__package__, known, Device)  # type: ignore[type-abstract]
        count = device.count()
        if index < count:
            return device(index)
    if count:
        raise RequestError(f"--device {name}: the last that PyTorch finds is {kind}:{count - 1}")
    raise RequestError(f"--device {name}: PyTorch finds no such device here (--device cpu?)")
