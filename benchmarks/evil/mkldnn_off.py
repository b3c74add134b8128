"""Turns oneDNN off."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("mkldnn_off")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        torch.backends.mkldnn.enabled = False
