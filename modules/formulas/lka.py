"""Large-kernel attention, arXiv:2202.09741."""

from __future__ import annotations

from torch import Tensor

from .parts import State
from .taps import conv


def lka(x: Tensor, state: State, kernel_size: int = 21, dilation: int = 3) -> Tensor:
    """x ⊙ conv1×1(dw_d(dw(x)))."""
    near = conv(x, state, "near")
    return x * conv(conv(near, state, "far", dilation), state, "mix")
