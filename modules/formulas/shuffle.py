"""Shuffle attention, arXiv:2102.00240, one channel after the other."""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor

from .parts import State


def shuffle(x: Tensor, state: State, groups: int | None = None) -> Tensor:
    channels = x.shape[1]
    groups = groups or gcd(64, channels // 2)
    width = channels // groups // 2  # of half a group
    y = torch.empty_like(x)
    for source in range(channels):
        one, j = x[:, source], source % width
        mean = one.mean((1, 2), keepdim=True)
        if source // width % 2 == 0:  # the first half of its group
            kind, score = "channel", mean
        else:
            kind = "position"
            variance = (one - mean).square().mean((1, 2), keepdim=True)
            score = (one - mean) / (variance + 1e-5).sqrt()
            score = score * state["norm.weight"][j] + state["norm.bias"][j]
        gate = (state[f"{kind}_weight"][j] * score + state[f"{kind}_bias"][j]).sigmoid()
        half, i = divmod(source, channels // 2)
        y[:, 2 * i + half] = one * gate
    return y
