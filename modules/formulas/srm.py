"""Style-based recalibration, arXiv:1903.10829."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State, batch_norm
from .steps import Changes, Step, gates, same


def srm(
    x: Tensor,
    state: State,
    eps: float = 1e-5,
    root: Step = torch.sqrt,
    free: int = 0,
    kinds: tuple[int, ...] = (1, 1),
    norm: bool = True,
    gate: Step = torch.sigmoid,
) -> Tensor:
    """x ⊙ σ(bn(w · (mean(x), std(x)))), a channel at a time.

    free: the degrees of freedom that the deviation loses. kinds: which of mean and std count.
    """
    mean = x.mean((2, 3))
    size = x.shape[2] * x.shape[3]
    variance = ((x * x).mean((2, 3)) - mean * mean) * size / (size - free)
    style = torch.stack([mean, root(variance + eps)], dim=2) * x.new_tensor(kinds)  # N×C×2
    weight = torch.cat([state["mean_weight"], state["std_weight"]], dim=1)[:, :, 0]  # C×2
    scores = (style * weight).sum(2)[:, :, None, None]
    return x * gate(batch_norm(scores, state, "norm") if norm else scores)


FORMS: Mapping[str, Changes] = {"srm": {"its deviation divides by H·W − 1": {"free": 1}}}
VARIANTS: Mapping[str, Changes] = {
    "srm": {
        "the standard deviation is missing": {"kinds": (1, 0)},
        "the mean is missing": {"kinds": (0, 1)},
        "the variance stands for the standard deviation": {"root": same},
        "the norm is missing": {"norm": False},
        **gates(),
    }
}
