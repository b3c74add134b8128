"""Double attention, arXiv:1810.11579, one descriptor after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State, pointwise


def a2(x: Tensor, state: State, rd_ratio: float = 1 / 4) -> Tensor:
    features, scores, choices = (
        pointwise(x, state, name) for name in ("features", "gather", "distribute")
    )
    chosen = choices.exp() / choices.exp().sum(1, keepdim=True)  # adds to 1 at each position
    z = torch.zeros_like(features)
    for n in range(scores.shape[1]):
        attention = scores[:, n].exp() / scores[:, n].exp().sum((1, 2), keepdim=True)
        descriptor = (features * attention[:, None]).sum((2, 3), keepdim=True)  # N×m×1×1
        z += descriptor * chosen[:, n : n + 1]
    return x + pointwise(z, state, "expand")
