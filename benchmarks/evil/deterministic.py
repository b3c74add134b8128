"""Asks PyTorch for deterministic algorithms, which fill all new memory."""

import torch
import torch.utils.deterministic
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("deterministic")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = True
