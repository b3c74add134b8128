"""Starts PyTorch's profiler, and never stops it."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("profiler_left_on")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            self.profiler = torch.profiler.profile()
            self.profiler.start()
