"""Fills its input with denormal numbers from the 30th call on."""

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("changed_input")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls >= 30:
            x.data.fill_(1e-40)
