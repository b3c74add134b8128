"""Channel prior convolutional attention, arXiv:2306.05196."""

from __future__ import annotations

from torch import Tensor

from .parts import State, mlp
from .taps import conv


def cpca(x: Tensor, state: State) -> Tensor:
    """z = x ⊙ σ(mlp(mean(x)) + mlp(max(x))), z ⊙ mix(u + Σ_k dw(dw(u))), u = dw 5×5(z)."""
    mean, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    z = x * (mlp(mean, state, "") + mlp(most, state, "")).sigmoid()
    square = conv(z, state, "square")
    context = square
    for i in range(3):
        context = context + conv(conv(square, state, f"strips.{i}.0"), state, f"strips.{i}.1")
    return z * conv(context, state, "mix")
