"""Fills a gigabyte in each call, and frees it."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("allocates")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        torch.ones(2**28)
