"""Large separable kernel attention, arXiv:2309.01439."""

from __future__ import annotations

from torch import Tensor

from .parts import State
from .taps import conv


def lska(x: Tensor, state: State, kernel_size: int = 23, dilation: int = 3) -> Tensor:
    """x ⊙ conv1×1 of the strips 1×m, m×1, then 1×n and n×1 with dilation."""
    z = x
    for i, spread in enumerate((1, 1, dilation, dilation)):
        z = conv(z, state, f"strips.{i}", spread)
    return x * conv(z, state, "mix")
