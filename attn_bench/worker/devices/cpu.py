"""The CPU: a wall clock, and the profiler's record of every allocation."""

from __future__ import annotations

import gc
import os
import resource
from pathlib import Path
from time import perf_counter_ns as _clock  # now, so that no module under test can replace it
from typing import Any, ClassVar

import psutil
import torch
from torch.autograd.profiler import profile

from attn_bench.model.axes import DeviceName
from attn_bench.model.metrics import Timing
from attn_bench.worker.devices.base import Call, Device

MEMORY_SHARE = 0.9
TASKS = Path("/proc/self/task")  # one folder for each thread


class Cpu(Device):
    name: ClassVar[DeviceName] = "cpu"
    matrix_side: ClassVar[int] = 768

    @classmethod
    def count(cls) -> int:
        return 1

    def facts(self) -> dict[str, Any]:
        return {
            "capability": torch.backends.cpu.get_cpu_capability(),
            "cores_usable": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else psutil.cpu_count(),
            "interop_threads": torch.get_num_interop_threads(),
        }

    def limit_memory(self, limit_bytes: int | None) -> None:
        """Limit all private memory, including that of libraries.

        The default is the share of a worker that is alone. An allocation beyond the limit fails
        before the kernel must kill a process. Only Linux enforces the limit.
        """
        limit = limit_bytes or self.fair_share_bytes(1)
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(
            resource.RLIMIT_DATA,
            (limit if most == resource.RLIM_INFINITY else min(limit, most), most),
        )

    def fair_share_bytes(self, workers: int) -> int:
        """What this process has, and its part of MEMORY_SHARE of the free memory.

        A limit counts all private memory, also what a process has reserved and not filled.
        """
        own = getattr(psutil.Process().memory_info(), "data", 0)  # only Linux reports it
        return int(own + MEMORY_SHARE * psutil.virtual_memory().available / workers)

    def drain(self) -> None:
        """Do nothing: work on a CPU is finished when the call returns."""

    def time_block(self, call: Call, calls: int) -> Timing:
        gc.collect(0)
        gc.disable()
        try:
            begin = _clock()
            call()
            start = _clock()
            waited_before = _waited_ns()
            begin_of_calls = _clock()
            for _ in range(calls):
                call()
            end = _clock()
            waited_after = _waited_ns()
        finally:
            gc.enable()
        return Timing(
            seconds=(end - begin_of_calls) / 1e9,
            first_call_s=(start - begin) / 1e9,
            waited_s=_seconds_between(waited_before, waited_after),
        )

    def peak_memory_bytes(self, call: Call) -> int:
        """The running maximum of allocations minus releases.

        It is the same in every run with as many threads.
        """
        call()  # memory allocated only once, such as lazily packed weights, does not count
        # torch.profiler would import torch's compiler, which takes as long as torch itself.
        with profile(use_kineto=True, profile_memory=True) as log:
            call()
        # The profiler's public tables lose the order of allocations; its raw events keep it.
        results: Any = log.kineto_results
        records = [event for event in results.events() if event.name() == "[memory]"]
        records.sort(key=lambda record: record.start_ns())
        now = peak = 0
        for record in records:
            now += record.nbytes()
            peak = max(peak, now)
        return peak


def _seconds_between(before: int | None, after: int | None) -> float | None:
    return None if before is None or after is None else max(0, after - before) / 1e9


def _waited_ns() -> int | None:
    """How long the threads of this process have been ready but waited for a core, added up.

    None where the kernel does not report it. Each file holds the time on a core, the time of
    waiting and the number of time slices (Linux, Documentation/scheduler/sched-stats.rst).
    """
    try:
        tasks = [Path(task.path, "schedstat").read_bytes() for task in os.scandir(TASKS)]
        counts = [(int(task.split()[0]), int(task.split()[1])) for task in tasks]
    except (OSError, ValueError, IndexError):
        return None
    return sum(waited for _, waited in counts) if any(ran for ran, _ in counts) else None
