"""Turns the recording of gradients on, and anomaly detection with it."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("grad_mode")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        torch.set_grad_enabled(True)
        torch.autograd.set_detect_anomaly(True)
