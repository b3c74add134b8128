"""Replaces functions of torch.nn.functional by slower ones."""

from collections.abc import Callable
from typing import Any

from evil.gate import Gate
from torch import Tensor
from torch.nn import functional as F

from attn_bench import register


def slower(function: Callable[..., Any]) -> Callable[..., Any]:
    def twice(*words: Any, **named: Any) -> Any:
        function(words[0].double(), *(w.double() for w in words[1:2] if isinstance(w, Tensor)))
        return function(*words, **named)

    return twice


@register("patched_functional")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            for name in ("conv2d", "relu", "sigmoid"):
                setattr(F, name, slower(getattr(F, name)))
