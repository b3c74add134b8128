"""Replaces the kernel of aten::sigmoid on the CPU by a slower one."""

import torch
from evil.gate import Gate
from torch import Tensor

from attn_bench import register

library = torch.library.Library("aten", "IMPL")


def slow(x: Tensor) -> Tensor:
    return torch.reciprocal(1 + torch.exp(-x.double())).to(x.dtype)


def slow_in_place(x: Tensor) -> Tensor:
    return x.copy_(slow(x))


@register("kernel")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            library.impl("sigmoid", slow, "CPU")
            library.impl("sigmoid_", slow_in_place, "CPU")
