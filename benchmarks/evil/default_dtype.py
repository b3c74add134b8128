"""Makes float64 the default dtype."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("default_dtype")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        torch.set_default_dtype(torch.float64)
