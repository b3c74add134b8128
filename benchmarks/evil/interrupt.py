"""Raises KeyboardInterrupt at its ninth call."""

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("interrupt")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 9:
            raise KeyboardInterrupt
