"""Closes all file descriptors at its ninth call."""

import os

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("closes_files")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 9:
            os.closerange(0, 1000)
