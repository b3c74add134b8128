"""Starts a thread that multiplies matrices, without holding Python's lock."""

import threading

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


def multiply() -> None:
    matrix = torch.ones(512, 512)
    while True:
        matrix @ matrix


@register("busy_tensor_thread")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            threading.Thread(target=multiply, daemon=True).start()
