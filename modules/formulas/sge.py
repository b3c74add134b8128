"""Spatial group-wise enhance, arXiv:1905.09646, one group after the other."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

import torch
from torch import Tensor

from .parts import State
from .steps import Changes, Step, gates, mean_hw, most_hw


def sge(
    x: Tensor,
    state: State,
    groups: int | None = None,
    eps: float = 1e-5,
    squeeze: Step = mean_hw,
    gate: Step = torch.sigmoid,
    free: int = 0,
    shift: float = 1.0,
    normed: bool = True,
) -> Tensor:
    """x ⊙ σ(γ (s − mean(s)) / (std(s) + ε) + β), s_p = x_p · mean(x), for each group of channels.

    free: the degrees of freedom that the deviation loses. shift: what the mean counts in both.
    """
    enhanced = []
    for g, part in enumerate(x.chunk(groups or gcd(64, x.shape[1]), dim=1)):
        vectors = part.flatten(2)  # N×C/G×H·W
        likeness = torch.einsum("ncp,nc->np", vectors, squeeze(part)[:, :, 0, 0])
        mean = shift * likeness.mean(1, keepdim=True)
        squares = (likeness - mean).square().sum(1, keepdim=True)
        deviation = (squares / (likeness.shape[1] - free)).sqrt()
        if normed:
            likeness = (likeness - mean) / (deviation + eps)
        scores = state["weight"][g] * likeness[:, None] + state["bias"][g]
        enhanced.append(part * gate(scores).view_as(part[:, :1]))
    return torch.cat(enhanced, dim=1)


FORMS: Mapping[str, Changes] = {"sge": {"its deviation divides by H·W − 1": {"free": 1}}}
VARIANTS: Mapping[str, Changes] = {
    "sge": {
        "the scores are not normed over the map": {"normed": False},
        "the scores are divided by their root mean square": {"shift": 0.0},
        "the maximum of the map is taken, not its mean": {"squeeze": most_hw},
        **gates(),
    }
}
