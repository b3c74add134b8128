"""Polarized self-attention, arXiv:2107.00782, in einsums."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .parts import State, pointwise
from .steps import Changes, Step, gates, inside


def by_channel(
    x: Tensor,
    state: State,
    softmax: bool = True,
    norm: bool = True,
    gate: Step = torch.sigmoid,
) -> Tensor:
    """x ⊙ σ(ln(W z)), z the mean of the values, weighted by a softmax over the positions."""
    value, query = (pointwise(x, state, f"channel.{name}") for name in ("value", "query"))
    weights = query.exp() / query.exp().sum((2, 3), keepdim=True) if softmax else query
    pooled = torch.einsum("nchw,nhw->nc", value, weights[:, 0])
    wide = pooled @ state["channel.expand.weight"].T + state["channel.expand.bias"]
    centred = wide - wide.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    normed = scaled * state["channel.norm.weight"] + state["channel.norm.bias"]
    return x * gate(normed if norm else wide)[:, :, None, None]


def by_position(
    x: Tensor, state: State, softmax: bool = True, gate: Step = torch.sigmoid
) -> Tensor:
    """x ⊙ σ(softmax(mean(q)) · v), the softmax over the channels of q."""
    value, query = (pointwise(x, state, f"spatial.{name}") for name in ("value", "query"))
    means = query.mean((2, 3))
    shares = means.exp() / means.exp().sum(1, keepdim=True) if softmax else means
    return x * gate(torch.einsum("nchw,nc->nhw", value, shares)[:, None])


Branch = Callable[[Tensor, State], Tensor]


def parallel(
    x: Tensor,
    state: State,
    channel: Branch = by_channel,
    position: Branch = by_position,
    join: Callable[[Tensor, Tensor], Tensor] = torch.add,
    share: float = 1.0,
) -> Tensor:
    """The sum of both branches. share: what it is multiplied with."""
    return share * join(channel(x, state), position(x, state))


def sequential(
    x: Tensor,
    state: State,
    channel: Branch = by_channel,
    position: Branch = by_position,
    order: str = "channel, position",
) -> Tensor:
    """The branch over positions, of the branch over channels."""
    if order == "position, channel":
        return channel(position(x, state), state)
    return position(channel(x, state), state)


BRANCHES: Changes = {
    **inside(
        "channel",
        by_channel,
        {
            "the softmax over the positions is missing": {"softmax": False},
            **gates(of=" of the branch over channels"),
        },
    ),
    **inside(
        "position",
        by_position,
        {
            "the softmax over the channels is missing": {"softmax": False},
            **gates(of=" of the branch over positions"),
        },
    ),
}
WITHOUT_NORM = inside("channel", by_channel, {"it has no layer norm": {"norm": False}})
FORMS: Mapping[str, Changes] = {"parallel": WITHOUT_NORM, "sequential": WITHOUT_NORM}
VARIANTS: Mapping[str, Changes] = {
    "parallel": {
        **BRANCHES,
        "the branches are multiplied, not added": {"join": torch.mul},
        "the sum of the branches is halved": {"share": 0.5},
    },
    "sequential": {
        **BRANCHES,
        "the branch over positions comes first": {"order": "position, channel"},
    },
}
