"""Efficient multi-scale attention, arXiv:2305.13563, one group after the other."""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor

from .parts import State, convolution, pointwise


def ema(x: Tensor, state: State, groups: int | None = None) -> Tensor:
    parts = x.chunk(groups or gcd(32, x.shape[1]), dim=1)
    return torch.cat([part * _gate(part, state) for part in parts], dim=1)


def _gate(x: Tensor, state: State) -> Tensor:
    """The gate of one group: N×C×H×W to N×1×H×W."""
    of_rows = pointwise(x.mean(3, keepdim=True), state, "pointwise").sigmoid()
    of_columns = pointwise(x.mean(2, keepdim=True), state, "pointwise").sigmoid()
    u = x * of_rows * of_columns
    u = u - u.mean((2, 3), keepdim=True)
    u = u / (u.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    u = u * state["norm.weight"][:, None, None] + state["norm.bias"][:, None, None]
    v = convolution(x, state, "local")
    scores = torch.zeros_like(x[:, :1])
    for one, other in ((u, v), (v, u)):
        shares = one.mean((2, 3), keepdim=True).exp()
        scores = scores + (shares / shares.sum(1, keepdim=True) * other).sum(1, keepdim=True)
    return scores.sigmoid()
