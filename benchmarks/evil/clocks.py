"""Replaces the clocks of `time` by ones that run at half the speed."""

import time
from collections.abc import Callable
from typing import Any

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


def halved(clock: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: type(clock())(clock() / 2)


@register("clocks")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            for name in ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns"):
                setattr(time, name, halved(getattr(time, name)))
