"""Criss-cross attention, arXiv:1811.11721."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State
from .taps import conv


def criss_cross(x: Tensor, state: State, passes: int = 1) -> Tensor:
    """y_u = γ Σ_i softmax_i(q_u · k_i) v_i + x_u, position by position, `passes` times."""
    for _ in range(passes):
        q, k, v = (conv(x, state, name) for name in ("query", "key", "value"))
        out = torch.empty_like(x)
        height, width = x.shape[2:]
        for i in range(height):
            for j in range(width):
                cross = [(i, c) for c in range(width)] + [(r, j) for r in range(height) if r != i]
                rows, columns = (list(each) for each in zip(*cross, strict=True))
                scores = (q[:, :, i, j, None] * k[:, :, rows, columns]).sum(1)  # N×(H+W−1)
                weights = scores.exp() / scores.exp().sum(1, keepdim=True)
                out[:, :, i, j] = (weights[:, None] * v[:, :, rows, columns]).sum(2)
        x = state["gamma"] * out + x
    return x
