"""Replaces methods of torch.Tensor by slower ones."""

from collections.abc import Callable
from typing import Any

from evil.gate import Gate
from torch import Tensor

from attn_bench import register


def slower(method: Callable[..., Any]) -> Callable[..., Any]:
    def twice(self: Tensor, *words: Any, **named: Any) -> Any:
        self.double().sum()
        return method(self, *words, **named)

    return twice


@register("patched_tensor")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            for name in ("mean", "sigmoid", "sigmoid_", "clone", "copy_", "mul"):
                setattr(Tensor, name, slower(getattr(Tensor, name)))
