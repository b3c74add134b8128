"""Efficient channel attention, arXiv:1910.03151."""

from __future__ import annotations

import math

from torch import Tensor

from .parts import State
from .taps import conv_1d


def eca(x: Tensor, state: State, kernel_size: int = 0) -> Tensor:
    """x ⊙ σ(conv_k(mean(x))). Raises ValueError if the weight does not have k taps.

    kernel_size: k; 0 for the odd number next to (log₂C + 1) / 2.
    """
    wanted = (math.log2(x.shape[1]) + 1) / 2
    taps = kernel_size or max(range(1, 100, 2), key=lambda odd: (-abs(odd - wanted), odd))
    if (found := state["conv.weight"].shape[-1]) != taps:
        raise ValueError(f"the kernel of ECA for {x.shape[1]} channels has {taps}, not {found}")
    means = x.mean((2, 3))[:, None]
    return x * conv_1d(means, state, "conv").sigmoid()[:, 0, :, None, None]
