"""Enters autocast to bfloat16, and never leaves it."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("autocast")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            torch.autocast("cpu", torch.bfloat16).__enter__()
