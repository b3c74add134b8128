"""Efficient local attention, arXiv:2403.01123."""

from __future__ import annotations

from torch import Tensor

from .parts import State
from .taps import conv_1d, group_norm


def ela(
    x: Tensor, state: State, kernel_size: int = 7, group_width: int = 1, norm_groups: int = 16
) -> Tensor:
    """x ⊙ σ(gn(F(mean_w(x)))) ⊙ σ(gn(F(mean_h(x))))."""
    rows, columns = (
        group_norm(conv_1d(x.mean(axis), state, "conv"), state, "norm", norm_groups).sigmoid()
        for axis in (3, 2)
    )
    return x * rows[..., None] * columns[:, :, None]
