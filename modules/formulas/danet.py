"""DANet's position and channel attention, arXiv:1809.02983, one row after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .parts import State, pointwise
from .steps import Changes


def _softmax(scores: Tensor) -> Tensor:
    shares = (scores - scores.amax(1, keepdim=True)).exp()
    return shares / shares.sum(1, keepdim=True)


Share = Callable[[Tensor], Tensor]  # N×I to the same


def position(
    x: Tensor,
    state: State,
    rd_ratio: float = 1 / 8,
    share: Share = _softmax,
    divisor: float = 0.0,
    names: str = "key query value",
    scaled: bool = True,
) -> Tensor:
    """x_j + α Σ_i softmax_i(b_i · c_j) d_i, over the positions i.

    divisor: the power of the width of b by which the scores are divided.
    """
    b, c, d = (pointwise(x, state, name).flatten(2) for name in names.split())
    width = b.shape[1] ** divisor
    mixed = [_mix((b * c[:, :, j : j + 1]).sum(1) / width, d, share) for j in range(b.shape[2])]
    scale = state["scale"] if scaled else 1.0
    return x + scale * torch.stack(mixed, dim=2).view_as(x)


def channel(x: Tensor, state: State, share: Share = _softmax, scaled: bool = True) -> Tensor:
    """x_j + β Σ_i softmax_i(x_i · x_j) x_i, over the channels i."""
    maps = x.flatten(2)
    mixed = [
        _mix((maps * maps[:, j : j + 1]).sum(2), maps.transpose(1, 2), share)
        for j in range(x.shape[1])
    ]
    scale = state["scale"] if scaled else 1.0
    return x + scale * torch.stack(mixed, dim=1).view_as(x)


def _mix(scores: Tensor, values: Tensor, share: Share) -> Tensor:
    """Σ_i share(scores)_i values_i: N×I and N×D×I to N×D."""
    return (values * share(scores)[:, None]).sum(2)


def _mean(scores: Tensor) -> Tensor:
    return scores / scores.shape[1]


def _below_the_most(scores: Tensor) -> Tensor:
    return _softmax(scores.amax(1, keepdim=True) - scores)


SHARES: Changes = {
    "the softmax is missing": {"share": lambda scores: scores},
    "the scores are divided by their number: there is no softmax": {"share": _mean},
    "a sigmoid stands for the softmax": {"share": torch.sigmoid},
    "the factor before the sum is missing": {"scaled": False},
}
FORMS: Mapping[str, Changes] = {
    "channel": {"the softmax is of the largest score minus each": {"share": _below_the_most}}
}
VARIANTS: Mapping[str, Changes] = {
    "position": {
        **SHARES,
        "the scores are divided by the root of the width": {"divisor": 0.5},
        "the softmax is over the other positions: query and key are exchanged": {
            "names": "query key value"
        },
    },
    "channel": SHARES,
}
