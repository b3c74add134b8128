"""The interface of a device, and how to open one by its name.

A new device is a file in this folder, named like its value in `model/axes.py`. A device measures
time and memory, and knows its own facts. The rest of a worker is the same for all devices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from attn_bench.model.axes import AUTO, AUTO_ORDER, DEVICES, DeviceName
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.metrics import Timing
from attn_bench.worker.lookup import find_class

Call = Callable[[], object]


class Device(ABC):
    """One device in one worker process.

    matrix_side: the side of the square matrices whose product measures the rate of arithmetic.
    """

    name: ClassVar[DeviceName]
    matrix_side: ClassVar[int]

    @classmethod
    @abstractmethod
    def available(cls) -> bool:
        """Whether this machine has one that PyTorch can use."""

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

    @abstractmethod
    def time_block(self, call: Call, calls: int) -> Timing:
        """Time `calls` calls as one, after one untimed call; garbage collection is off."""

    @abstractmethod
    def peak_memory_bytes(self, call: Call) -> int:
        """The most memory that one `call` holds at any moment, beyond the memory held before."""


def open_device(name: str) -> Device:
    """The device called `name`; "auto" takes the first of AUTO_ORDER that exists. Loads torch.

    Raises RequestError if this machine does not have the device.
    """
    if name not in (*DEVICES, AUTO):
        raise RequestError(f"--device {name}: unknown device{nearest(name, DEVICES)}")
    for known in AUTO_ORDER if name == AUTO else (name,):
        device = find_class(__package__, known, Device)  # type: ignore[type-abstract]
        if device.available():
            return device()
    raise RequestError(f"--device {name}: PyTorch finds no such device here (--device cpu?)")
