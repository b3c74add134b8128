"""Shuffle attention, arXiv:2102.00240, one channel after the other."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

import torch
from torch import Tensor

from .parts import State
from .steps import Changes, Step, gates


def shuffle(
    x: Tensor,
    state: State,
    groups: int | None = None,
    order: str = "two halves, interleaved",
    first: str = "channel",
    normed: bool = True,
    gate: Step = torch.sigmoid,
) -> Tensor:
    """[x₁ ⊙ σ(w mean(x₁) + b), x₂ ⊙ σ(w gn(x₂) + b)] of each group, then the channels shuffled.

    first: the gate of the first half of a group.
    """
    channels = x.shape[1]
    groups = groups or gcd(64, channels // 2)
    width = channels // groups // 2  # of half a group
    y = torch.empty_like(x)
    for source in range(channels):
        one, j = x[:, source], source % width
        mean = one.mean((1, 2), keepdim=True)
        is_first = source // width % 2 == 0  # half of its group
        kind = "channel" if is_first == (first == "channel") else "position"
        score = mean if kind == "channel" else one
        if kind == "position" and normed:
            variance = (one - mean).square().mean((1, 2), keepdim=True)
            score = (one - mean) / (variance + 1e-5).sqrt()
            score = score * state["norm.weight"][j] + state["norm.bias"][j]
        scale = gate(state[f"{kind}_weight"][j] * score + state[f"{kind}_bias"][j])
        y[:, _place(source, channels, groups, order)] = one * scale
    return y


def _place(source: int, channels: int, groups: int, order: str) -> int:
    """The channel of the result that the channel `source` becomes."""
    match order:
        case "as they were":
            return source
        case "groups, interleaved":
            group, i = divmod(source, channels // groups)
            return groups * i + group
        case "pairs, parted":
            i, half = divmod(source, 2)
            return channels // 2 * half + i
    half, i = divmod(source, channels // 2)
    return 2 * i + half


VARIANTS: Mapping[str, Changes] = {
    "shuffle": {
        "the channels are not shuffled": {"order": "as they were"},
        "the channels are shuffled in G groups, not in 2": {"order": "groups, interleaved"},
        "the channels are shuffled in C/2 groups, not in 2": {"order": "pairs, parted"},
        "the gate over positions is on the first half of a group": {"first": "position"},
        "the group norm is missing": {"normed": False},
        **gates(),
    }
}
