"""Changes the number of PyTorch's threads in its first call."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("threads_in_forward")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            torch.set_num_threads(2 if torch.get_num_threads() == 1 else 1)
