"""Reads the clocks and limits of one NVIDIA GPU through NVML.

Its Python binding is the extra `cuda` (`pip install attn-bench[cuda]`). Without the binding, or
without permission, every figure is unknown.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# NVML's clocks-event reasons for reduced clocks: software power cap, hardware slowdown, software
# and hardware thermal slowdown, hardware power brake.
THROTTLED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80


class Nvml:
    """One GPU as NVML sees it, until the process ends."""

    def __init__(self, uuid: str) -> None:
        """Find the GPU by its UUID, without a prefix.

        An index would be another GPU's under CUDA_VISIBLE_DEVICES.
        """
        self._nvml: Any = None
        try:
            import pynvml
        except ModuleNotFoundError:
            return
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            atexit.register(pynvml.nvmlShutdown)
            self._handle = _find(pynvml, uuid)
            self._nvml = pynvml

    def facts(self) -> dict[str, Any]:
        """The driver, and the clocks and limits now; without those that are unknown."""
        nvml = self._nvml
        if nvml is None:
            return {}
        asked = {
            "driver": lambda gpu: nvml.nvmlSystemGetDriverVersion(),
            "sm_clock_mhz": lambda gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
            "sm_clock_max_mhz": lambda gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
            "temperature_c": lambda gpu: nvml.nvmlDeviceGetTemperature(
                gpu, nvml.NVML_TEMPERATURE_GPU
            ),
            "power_limit_w": lambda gpu: nvml.nvmlDeviceGetPowerManagementLimit(gpu) / 1e3,
            "power_limit_default_w": lambda gpu: (
                nvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu) / 1e3
            ),
        }
        found = {name: self._ask(question) for name, question in asked.items()}
        return {name: value for name, value in found.items() if value is not None}

    def is_throttled(self) -> bool | None:
        """Whether the GPU reduces its clocks now; None if unknown."""
        if self._nvml is None:
            return None
        reasons = self._ask(self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons)
        return None if reasons is None else bool(reasons & THROTTLED)

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        with suppress(self._nvml.NVMLError):  # this GPU or driver does not answer it
            return question(self._handle)
        return None


def _find(nvml: Any, uuid: str) -> Any:
    """The handle of the GPU; for a MIG instance, that of its GPU, which has the clocks."""
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError:
        instance = nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")
        return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)
