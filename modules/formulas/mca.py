"""Multidimensional collaborative attention (2023, not on arXiv)."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State
from .taps import conv_1d


def mca(x: Tensor, state: State) -> Tensor:
    """⅓ Σ_axes x ⊙ σ(conv(½(m + s) + α m + β s)), slice by slice."""
    out = torch.zeros_like(x)
    for i, axis in enumerate((1, 2, 3)):
        means, deviations = [], []
        for piece in x.unbind(axis):  # N×·×·
            flat = piece.reshape(len(x), -1)
            mean = flat.mean(1, keepdim=True)
            spread = (flat - mean).square().sum(1) / max(1, flat.shape[1] - 1)
            means.append(mean[:, 0])
            deviations.append(spread.sqrt())
        m, s = torch.stack(means, dim=1), torch.stack(deviations, dim=1)  # N×L
        alpha, beta = state[f"gates.{i}.weight"].sigmoid()
        pooled = (m + s) / 2 + alpha * m + beta * s
        gate = conv_1d(pooled[:, None], state, f"gates.{i}.conv").sigmoid()[:, 0]
        out += (x.transpose(axis, -1) * gate[:, None, None]).transpose(axis, -1)
    return out / 3
