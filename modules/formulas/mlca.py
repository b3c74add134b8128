"""Mixed local channel attention (2023, not on arXiv)."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State
from .taps import conv_1d


def mlca(x: Tensor, state: State, regions: int = 5, local_weight: float = 0.5) -> Tensor:
    """x ⊙ up(w σ(conv(l)) + (1 − w) σ(conv(g))), region by region."""
    channels, height, width = x.shape[1:]
    local = _means(x, regions, regions)  # N×C×5×5
    whole = conv_1d(local.mean((2, 3))[:, None], state, "conv").sigmoid()[:, 0]  # N×C
    places = [local[:, :, i, j] for i in range(regions) for j in range(regions)]
    answers = conv_1d(torch.cat(places, dim=1)[:, None], state, "conv_local").sigmoid()[:, 0]
    gate = torch.empty_like(local)
    for place in range(regions**2):
        here = answers[:, place * channels : (place + 1) * channels]
        mixed = local_weight * here + (1 - local_weight) * whole
        gate[:, :, place // regions, place % regions] = mixed
    return x * _means(gate, height, width)


def _means(x: Tensor, rows: int, columns: int) -> Tensor:
    """The means over regions: region i of n is [⌊iL/n⌋, ⌈(i+1)L/n⌉)."""
    height, width = x.shape[2:]
    out = x.new_empty(*x.shape[:2], rows, columns)
    for i in range(rows):
        for j in range(columns):
            down = slice(i * height // rows, -(-(i + 1) * height // rows))
            across = slice(j * width // columns, -(-(j + 1) * width // columns))
            out[:, :, i, j] = x[:, :, down, across].mean((2, 3))
    return out
