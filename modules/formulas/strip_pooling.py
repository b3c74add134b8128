"""Strip pooling, arXiv:2003.13328."""

from __future__ import annotations

from torch import Tensor

from .parts import State, batch_norm
from .taps import conv


def strip_pooling(x: Tensor, state: State) -> Tensor:
    """x ⊙ σ(conv1×1(relu(u + v))), u and v from the means of rows and of columns."""
    height, width = x.shape[2:]
    u = batch_norm(conv(x.mean(3, keepdim=True), state, "conv_h"), state, "norm_h")
    v = batch_norm(conv(x.mean(2, keepdim=True), state, "conv_w"), state, "norm_w")
    strips = u.repeat(1, 1, 1, width) + v.repeat(1, 1, height, 1)
    return x * conv(strips.relu(), state, "mix").sigmoid()
