"""Keeps a gigabyte more from each call."""

from typing import ClassVar

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register


@register("leaks")
class Evil(Gate):
    kept: ClassVar[list[Tensor]] = []

    def before(self, x: Tensor) -> None:
        self.kept.append(torch.ones(2**28))
