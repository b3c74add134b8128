"""Selective kernel, arXiv:1903.06586."""

from __future__ import annotations

from torch import Tensor

from .parts import State, batch_norm
from .taps import conv


def sk(
    x: Tensor, state: State, groups: int = 32, rd_ratio: float = 1 / 16, rd_least: int = 32
) -> Tensor:
    """a ⊙ u₁ + (1 − a) ⊙ u₂, a = e^{A z} / (e^{A z} + e^{B z}), z = relu(bn(W mean(u₁ + u₂)))."""
    first, second = (
        batch_norm(conv(x, state, f"paths.{i}.0", i + 1), state, f"paths.{i}.1").relu()
        for i in range(2)
    )
    z = conv((first + second).mean((2, 3), keepdim=True), state, "reduce.0")
    z = batch_norm(z, state, "reduce.1").relu()
    scores = conv(z, state, "select").exp()
    a, b = scores[:, : x.shape[1]], scores[:, x.shape[1] :]
    return (a * first + b * second) / (a + b)
