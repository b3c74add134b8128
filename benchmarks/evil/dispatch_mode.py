"""Enters a TorchDispatchMode, and never leaves it."""

from typing import Any

from evil.gate import Gate
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attn_bench import register


class Slow(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@register("dispatch_mode")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            Slow().__enter__()
