"""Efficient multi-scale attention, arXiv:2305.13563, one group after the other."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

import torch
from torch import Tensor

from .parts import State, convolution, pointwise
from .steps import Changes, Step, gates, mean_hw, same, squeezes


def _softmax(x: Tensor) -> Tensor:
    """N×C×1×1 to the same; the channels sum to 1."""
    return x.exp() / x.exp().sum(1, keepdim=True)


def ema(
    x: Tensor,
    state: State,
    groups: int | None = None,
    strip: Step = torch.sigmoid,
    normed: bool = True,
    squeeze: Step = mean_hw,
    share: Step = _softmax,
    pairs: str = "uv vu",
    gate: Step = torch.sigmoid,
) -> Tensor:
    """x ⊙ σ(softmax(mean(u)) · v + softmax(mean(v)) · u), a group of channels at a time.

    u = gn(x ⊙ σ(rows) ⊙ σ(columns)), v = 3×3(x). strip: the gate of rows and columns.
    """
    parts = x.chunk(groups or gcd(32, x.shape[1]), dim=1)
    gated = []
    for part in parts:
        maps = {"u": _strips(part, state, strip, normed), "v": convolution(part, state, "local")}
        scores = torch.zeros_like(part[:, :1])
        for pair in pairs.split():
            one, other = maps[pair[0]], maps[pair[1]]
            scores = scores + (share(squeeze(one)) * other).sum(1, keepdim=True)
        gated.append(part * gate(scores))
    return torch.cat(gated, dim=1)


def _strips(x: Tensor, state: State, strip: Step, normed: bool) -> Tensor:
    """The map u of one group."""
    of_rows = strip(pointwise(x.mean(3, keepdim=True), state, "pointwise"))
    of_columns = strip(pointwise(x.mean(2, keepdim=True), state, "pointwise"))
    u = x * of_rows * of_columns
    if not normed:
        return u
    u = u - u.mean((2, 3), keepdim=True)
    u = u / (u.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    return u * state["norm.weight"][:, None, None] + state["norm.bias"][:, None, None]


VARIANTS: Mapping[str, Changes] = {
    "ema": {
        "the group norm is missing": {"normed": False},
        "the softmax is missing": {"share": same},
        "a sigmoid stands for the softmax": {"share": torch.sigmoid},
        "each branch weighs itself, not the other one": {"pairs": "uu vv"},
        "the 3×3 branch does not weigh the other": {"pairs": "uv"},
        "the branch of the strips does not weigh the other": {"pairs": "vu"},
        "the sigmoid of rows and columns is missing": {"strip": same},
        **squeezes(),
        **gates(),
    }
}
