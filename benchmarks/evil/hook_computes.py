"""Registers a forward hook of all modules that reduces their results."""

from evil.gate import Gate
from torch import Tensor, nn

from attn_bench import register


def reduce(module: nn.Module, inputs: object, result: object) -> None:
    if isinstance(result, Tensor):
        result.double().square().mean()


@register("hook_computes")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            nn.modules.module.register_module_forward_hook(reduce)
