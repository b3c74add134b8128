"""Global attention mechanism, arXiv:2112.05561."""

from __future__ import annotations

from torch import Tensor

from .parts import State, batch_norm, convolution, pointwise


def gam(x: Tensor, state: State, rd_ratio: float = 1 / 16) -> Tensor:
    inner = pointwise(x, state, "channel.0").relu()
    z = x * pointwise(inner, state, "channel.2").sigmoid()
    inner = batch_norm(convolution(z, state, "spatial.0"), state, "spatial.1").relu()
    return z * batch_norm(convolution(inner, state, "spatial.3"), state, "spatial.4").sigmoid()
