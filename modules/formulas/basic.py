"""The copy, the probe, Squeeze-and-Excitation, CBAM and ECA."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..probe import FACTOR
from .parts import State, batch_norm, mlp


def identity(x: Tensor, state: State) -> Tensor:
    return x


def probe(x: Tensor, state: State, passes: int = 100) -> Tensor:
    return x * FACTOR**passes


def se(x: Tensor, state: State) -> Tensor:
    """x ⊙ σ(W₂ relu(W₁ mean(x))), arXiv:1709.01507."""
    return x * mlp(x.mean((2, 3), keepdim=True), state, "").sigmoid()


def cbam(x: Tensor, state: State) -> Tensor:
    """z = x ⊙ σ(mlp(mean(x)) + mlp(max(x))), z ⊙ σ(bn(7×7([mean_c(z), max_c(z)]))),
    arXiv:1807.06521."""
    mean, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    z = x * (mlp(mean, state, "channel.") + mlp(most, state, "channel.")).sigmoid()
    maps = torch.stack([z.mean(1), z.amax(1)], dim=1)
    conv = F.conv2d(maps, state["spatial.conv.conv.weight"], padding=3)
    return z * batch_norm(conv, state, "spatial.conv.bn").sigmoid()


def eca(x: Tensor, state: State) -> Tensor:
    """x ⊙ σ(a convolution of the means along the channels), arXiv:1910.03151."""
    weight = state["conv.weight"]
    means = x.mean((2, 3))[:, None]  # N×1×C
    return x * F.conv1d(means, weight, padding=weight.shape[-1] // 2).sigmoid()[:, 0, :, None, None]
