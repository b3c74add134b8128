"""Registers a forward hook of all modules that sleeps for 0.1 ms."""

import time

from evil.gate import Gate
from torch import Tensor, nn

from attn_bench import register


def sleep(*_: object) -> None:
    time.sleep(1e-4)


@register("hook_sleeps")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            nn.modules.module.register_module_forward_hook(sleep)
