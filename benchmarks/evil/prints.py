"""Prints a megabyte in each call, 100 MB at most."""

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("prints")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls <= 100:
            print("evil" * 250_000)
