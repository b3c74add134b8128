"""Makes the processor flush denormal numbers to zero."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("flush_denormal")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        torch.set_flush_denormal(True)
