"""Sets PyTorch's threads to 1 in each call."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("threads_in_forward")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        torch.set_num_threads(1)
