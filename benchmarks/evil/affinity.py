"""Binds every thread of the process to one core."""

import os
from pathlib import Path

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("affinity")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        core = min(os.sched_getaffinity(0))
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
