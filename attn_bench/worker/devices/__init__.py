"""What differs from device to device, behind one interface: a third device is one new file.

A device tells the time, the memory and the facts about itself. Everything else in a worker is
written once, for all of them.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from attn_bench.model.axes import DeviceName
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Timing

Call = Callable[[], object]

_HOMES: Mapping[DeviceName, str] = {
    "cpu": "attn_bench.worker.devices.cpu:Cpu",
    "cuda": "attn_bench.worker.devices.cuda:Cuda",
}


class Device(ABC):
    """One device in one worker process."""

    name: ClassVar[DeviceName]

    @classmethod
    @abstractmethod
    def available(cls) -> bool:
        """Whether this machine has one that PyTorch can use."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What run.json says of it: model, memory, driver, clocks."""

    @abstractmethod
    def limit_memory(self, limit_bytes: int | None) -> None:
        """From now on, more than that is an error of whoever asks for it; None is the default."""

    @abstractmethod
    def drain(self) -> None:
        """Wait until everything that was launched is done."""

    @abstractmethod
    def time_block(self, call: Call, calls: int) -> Timing:
        """One untimed call, then `calls` in a row, timed as one, garbage collection off."""

    @abstractmethod
    def peak_memory_bytes(self, call: Call) -> int:
        """The most memory that one `call` has allocated at any moment, beyond what was before."""


def open_device(name: DeviceName | str) -> Device:
    """The device called `name`; "auto" takes cuda where there is one. Loads torch.

    Raises RequestError where this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if _load("cuda").available() else "cpu"
    device = _load(name)
    if not device.available():
        raise RequestError(f"--device {name}: PyTorch finds no such device here (--device cpu?)")
    return device()


def _load(name: str) -> type[Device]:
    module, _, attribute = _HOMES[name].partition(":")  # type: ignore[index]
    found: type[Device] = getattr(importlib.import_module(module), attribute)
    return found
