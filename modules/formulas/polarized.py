"""Polarized self-attention, arXiv:2107.00782, in einsums."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State, pointwise


def parallel(x: Tensor, state: State) -> Tensor:
    return _by_channel(x, state) + _by_position(x, state)


def sequential(x: Tensor, state: State) -> Tensor:
    return _by_position(_by_channel(x, state), state)


def _by_channel(x: Tensor, state: State) -> Tensor:
    value, query = (pointwise(x, state, f"channel.{name}") for name in ("value", "query"))
    weights = query.exp() / query.exp().sum((2, 3), keepdim=True)  # adds to 1 over the positions
    pooled = torch.einsum("nchw,nhw->nc", value, weights[:, 0])
    wide = pooled @ state["channel.expand.weight"].T + state["channel.expand.bias"]
    centred = wide - wide.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    gate = scaled * state["channel.norm.weight"] + state["channel.norm.bias"]
    return x * gate.sigmoid()[:, :, None, None]


def _by_position(x: Tensor, state: State) -> Tensor:
    value, query = (pointwise(x, state, f"spatial.{name}") for name in ("value", "query"))
    means = query.mean((2, 3)).exp()
    shares = means / means.sum(1, keepdim=True)  # adds to 1 over the channels
    return x * torch.einsum("nchw,nc->nhw", value, shares).sigmoid()[:, None]
