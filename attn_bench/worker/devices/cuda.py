"""An NVIDIA GPU: the time that a caller waits, the throughput, and the device's own time.

Clocks and reasons for throttling are read before and after every block, if NVML's Python binding is
installed. A block with reduced clocks is marked, not dropped.
"""

from __future__ import annotations

import gc
from functools import cached_property
from time import perf_counter as _clock  # now, so that no module under test can replace it
from typing import Any, ClassVar
from weakref import WeakSet

import torch

from attn_bench.model.axes import DeviceName
from attn_bench.model.metrics import DeviceClock, Timing
from attn_bench.worker.devices.base import Call, Device
from attn_bench.worker.nvml import Nvml

HOLD_TIMES, LEAST_HOLD_S = 2, 30e-6  # how long a stream is held, in times of launching one call
TRIAL_CYCLES = 1_000_000


class Cuda(Device):
    name: ClassVar[DeviceName] = "cuda"
    matrix_side: ClassVar[int] = 4096

    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        torch.cuda.set_device(index)
        self._properties = torch.cuda.get_device_properties(index)
        self._nvml = Nvml(str(self._properties.uuid))
        l2 = getattr(self._properties, "L2_cache_size", 0) or 64 * 2**20
        # Writing twice the size of the L2 cache evicts everything else.
        self._flusher = torch.empty(2 * l2, dtype=torch.int8, device="cuda")
        self._side = torch.cuda.Stream()  # the usual stream cannot be captured
        self._not_captured: WeakSet[Call] = WeakSet()

    @classmethod
    def count(cls) -> int:
        return torch.cuda.device_count() if torch.cuda.is_available() else 0

    def facts(self) -> dict[str, Any]:
        properties = self._properties
        return {
            "gpu": properties.name,
            "index": self.index,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "l2_bytes": getattr(properties, "L2_cache_size", None),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            **self._nvml.facts(),
        }

    def limit_memory(self, limit_bytes: int | None) -> None:
        """Limit PyTorch's allocator; the default is all memory of the GPU."""
        if limit_bytes is None:
            return
        share = limit_bytes / self._properties.total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, share))

    def drain(self) -> None:
        torch.cuda.synchronize()

    def release(self) -> None:
        """Empty the allocator's cache. The next block's untimed call allocates again.

        Raises if an earlier error has made the GPU unusable.
        """
        torch.cuda.empty_cache()

    def time_block(self, call: Call, calls: int) -> Timing:
        throttled = [self._nvml.is_throttled()]
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
            waited = _clock()
            for _ in range(calls):
                call()
            launched = _clock()
            torch.cuda.synchronize()
            queued = _clock()
            device_s, device_clock = self._device_s(call, calls, (launched - waited) / calls)
            end = _clock()
        finally:
            gc.enable()
        throttled.append(self._nvml.is_throttled())
        return Timing(
            seconds=waited - start,
            first_call_s=start - begin,
            queued_s=queued - waited,
            device_s=device_s,
            device_clock=device_clock,
            more_s=end - waited,
            throttled=None if None in throttled else any(throttled),
        )

    def _device_s(self, call: Call, calls: int, launch_s: float) -> tuple[float, DeviceClock]:
        """The device time of all calls without gaps between launches, and how it was measured.

        launch_s: the time to launch one call.
        """
        graph = self._capture(call)
        if graph is not None:
            seconds, are_free = self._time_apart(graph.replay, calls, 0.0)
            if are_free:
                return seconds, "graph"
        seconds, are_free = self._time_apart(call, calls, HOLD_TIMES * launch_s)
        return seconds, "queue" if are_free else "launches"

    def _time_apart(self, launch: Call, calls: int, hold_s: float) -> tuple[float, bool]:
        """The device time of all calls, each after a flush of the L2 cache, between two events.

        A kernel that spins holds the stream until a call is in the queue. Also returns whether it
        did so each time: if the stream reached the first event before everything was launched, the
        time includes waiting for launches.
        """
        cycles = int(max(hold_s, LEAST_HOLD_S) * self._cycles_per_s)
        marks, are_free = [], True
        self.drain()
        for _ in range(calls):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self._flusher.zero_()
            torch.cuda._sleep(cycles)
            start.record()
            launch()
            end.record()
            are_free = are_free and not start.query()
            marks.append((start, end))
        torch.cuda.synchronize()
        return sum(start.elapsed_time(end) for start, end in marks) / 1e3, are_free

    @cached_property
    def _cycles_per_s(self) -> float:
        """The rate of the spinning kernel's clock."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(TRIAL_CYCLES)
        start.record()
        torch.cuda._sleep(TRIAL_CYCLES)
        end.record()
        torch.cuda.synchronize()
        return 1e3 * TRIAL_CYCLES / float(start.elapsed_time(end))

    def _capture(self, call: Call) -> torch.cuda.CUDAGraph | None:
        """The call as a graph; None if it cannot be captured.

        A capture that fails may leave PyTorch's allocator unusable (pytorch#180395). So the call
        first runs outside a capture, where whatever waits for the device raises. This also prepares
        the libraries' workspaces for the other stream. A call that failed is not tried again.
        """
        if call in self._not_captured:
            return None
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(self._side):  # a failed capture would leave its stream in use
                torch.cuda.set_sync_debug_mode("error")
                try:
                    call()
                finally:
                    torch.cuda.set_sync_debug_mode("default")
                with torch.cuda.graph(graph, stream=self._side):
                    call()
        except RuntimeError:
            self._not_captured.add(call)
            return None
        return graph

    def peak_memory_bytes(self, call: Call) -> int:
        call()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
