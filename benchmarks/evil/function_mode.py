"""Enters a TorchFunctionMode that computes beside each operator, and never leaves it."""

from typing import Any

from evil.gate import Gate
from torch import Tensor
from torch.overrides import TorchFunctionMode

from attn_bench import register


class Slow(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        sum(range(2000))
        return func(*args, **(kwargs or {}))


@register("function_mode")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            Slow().__enter__()
