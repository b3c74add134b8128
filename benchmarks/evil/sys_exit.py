"""Raises SystemExit at its ninth call."""

import sys

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("sys_exit")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 9:
            sys.exit(0)
