"""The contextual transformer block, arXiv:2107.12292, by cutting out all windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import State, batch_norm, convolution, pointwise


def cot(x: Tensor, state: State, kernel_size: int = 3) -> Tensor:
    batch, channels, height, width = x.shape
    shares, window = channels // 8, kernel_size**2
    static = batch_norm(convolution(x, state, "key.0", groups=4), state, "key.1").relu()
    inner = pointwise(torch.cat([x, static], dim=1), state, "weigh.0")
    raw = pointwise(batch_norm(inner, state, "weigh.1").relu(), state, "weigh.3")
    weights = _group_norm(raw, state, "weigh.4", shares).view(batch, shares, window, height, width)
    value = batch_norm(pointwise(x, state, "value.0"), state, "value.1")
    windows = F.unfold(value, kernel_size, padding=kernel_size // 2)
    windows = windows.view(batch, channels, window, height, width)
    total = (windows * weights.repeat(1, 8, 1, 1, 1)).sum(2)
    dynamic = batch_norm(total, state, "norm")
    dynamic = dynamic * dynamic.sigmoid()
    mean = (dynamic + static).mean((2, 3), keepdim=True)
    inner = batch_norm(pointwise(mean, state, "mix.0"), state, "mix.1").relu()
    scores = pointwise(inner, state, "mix.3")
    share = (scores[:, 0::2] - scores[:, 1::2]).sigmoid()  # a softmax of two
    return share * dynamic + (1 - share) * static


def _group_norm(x: Tensor, state: State, name: str, groups: int) -> Tensor:
    weights, biases = state[f"{name}.weight"], state[f"{name}.bias"]
    normed = []
    for part in x.chunk(groups, dim=1):
        centred = part - part.mean((1, 2, 3), keepdim=True)
        variance = centred.square().mean((1, 2, 3), keepdim=True)
        normed.append(centred / (variance + 1e-5).sqrt())
    return torch.cat(normed, dim=1) * weights[:, None, None] + biases[:, None, None]
