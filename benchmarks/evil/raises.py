"""Raises at its 30th call, after it was inspected."""

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("raises")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 30:
            raise RuntimeError("no more")
