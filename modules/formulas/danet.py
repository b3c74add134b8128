"""DANet's position and channel attention, arXiv:1809.02983, one row after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State, pointwise


def position(x: Tensor, state: State, rd_ratio: float = 1 / 8) -> Tensor:
    b, c, d = (pointwise(x, state, name).flatten(2) for name in ("key", "query", "value"))
    mixed = [_mix((b * c[:, :, j : j + 1]).sum(1), d) for j in range(b.shape[2])]
    return x + state["scale"] * torch.stack(mixed, dim=2).view_as(x)


def channel(x: Tensor, state: State) -> Tensor:
    maps = x.flatten(2)
    mixed = [
        _mix((maps * maps[:, j : j + 1]).sum(2), maps.transpose(1, 2)) for j in range(x.shape[1])
    ]
    return x + state["scale"] * torch.stack(mixed, dim=1).view_as(x)


def _mix(scores: Tensor, values: Tensor) -> Tensor:
    """Σ_i softmax(scores)_i values_i: N×I and N×D×I to N×D."""
    shares = (scores - scores.amax(1, keepdim=True)).exp()
    shares = shares / shares.sum(1, keepdim=True)
    return (values * shares[:, None]).sum(2)
