"""Replaces nn.Conv2d.forward by one that computes it three times."""

from evil.gate import Gate
from torch import Tensor, nn

from attn_bench import register

usual = nn.Conv2d.forward


def three_times(self: nn.Conv2d, x: Tensor) -> Tensor:
    usual(self, x)
    usual(self, x)
    return usual(self, x)


@register("patched_conv")
class Evil(Gate):
    def before(self, x: Tensor) -> None:
        if self.calls == 1:
            nn.Conv2d.forward = three_times
