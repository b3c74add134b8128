"""An NVIDIA GPU: the time that the caller waits, and the device's own time with a cold L2 cache.

If NVML's Python binding is installed, clocks and reasons for throttling are sampled around every
block. A block with reduced clocks is marked, not dropped.
"""

from __future__ import annotations

import gc
from time import perf_counter_ns as _clock  # now, so that no module under test can replace it
from typing import Any, ClassVar

import torch

from attn_bench.model.axes import DeviceName
from attn_bench.model.metrics import Timing
from attn_bench.worker.devices.base import Call, Device

# NVML's clocks-event reasons for reduced clocks: software power cap, hardware slowdown, software
# and hardware thermal slowdown, hardware power brake.
_THROTTLED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80


class Cuda(Device):
    name: ClassVar[DeviceName] = "cuda"
    matrix_side: ClassVar[int] = 4096

    def __init__(self) -> None:
        properties = torch.cuda.get_device_properties(0)
        l2 = getattr(properties, "L2_cache_size", 0) or 64 * 2**20
        # Writing twice the size of the L2 cache evicts everything else.
        self._flusher = torch.empty(2 * l2, dtype=torch.int8, device="cuda")

    @classmethod
    def available(cls) -> bool:
        return torch.cuda.is_available()

    def facts(self) -> dict[str, Any]:
        properties = torch.cuda.get_device_properties(0)
        facts: dict[str, Any] = {
            "gpu": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "l2_bytes": getattr(properties, "L2_cache_size", None),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
        for nvml, handle in self._nvml():
            facts |= {
                "driver": nvml.nvmlSystemGetDriverVersion(),
                "sm_clock_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
                "sm_clock_max_mhz": nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
                "temperature_c": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
                "power_limit_w": nvml.nvmlDeviceGetPowerManagementLimit(handle) / 1e3,
                "power_limit_default_w": nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle)
                / 1e3,
            }
        return facts

    def limit_memory(self, limit_bytes: int | None) -> None:
        """Limit PyTorch's allocator; the default is all memory of the GPU."""
        if limit_bytes is None:
            return
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total))

    def drain(self) -> None:
        torch.cuda.synchronize()

    def time_block(self, call: Call, calls: int) -> Timing:
        gc.collect(0)
        gc.disable()
        try:
            begin = _clock()
            call()
            torch.cuda.synchronize()
            start = _clock()
            for _ in range(calls):
                call()
            torch.cuda.synchronize()
            end = _clock()
            device_s = self._device_s(call, calls)
        finally:
            gc.enable()
        return Timing(
            seconds=(end - start) / 1e9,
            first_call_s=(start - begin) / 1e9,
            device_s=device_s,
            throttled=self._throttled(),
        )

    def _device_s(self, call: Call, calls: int) -> float:
        """The device time of all calls. Each runs between two events, after a flush of the L2."""
        marks = [
            (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
            for _ in range(calls)
        ]
        for start, end in marks:
            self._flusher.zero_()
            start.record()
            call()
            end.record()
        torch.cuda.synchronize()
        return sum(float(start.elapsed_time(end)) for start, end in marks) / 1e3

    def _throttled(self) -> bool:
        reasons = 0
        for nvml, handle in self._nvml():
            reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        return bool(reasons & _THROTTLED)

    def _nvml(self) -> list[tuple[Any, Any]]:
        """NVML and this GPU's handle; empty if the binding is missing or lacks permission."""
        try:
            import pynvml

            pynvml.nvmlInit()
            return [(pynvml, pynvml.nvmlDeviceGetHandleByIndex(0))]
        except ModuleNotFoundError:
            return []
        except pynvml.NVMLError:
            return []

    def peak_memory_bytes(self, call: Call) -> int:
        call()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
