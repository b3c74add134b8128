"""Skip-squeeze-and-excitation, arXiv:2110.07641."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State, batch_norm
from .steps import Changes, Step, gates, mean_hw, squeezes


def sse(
    x: Tensor,
    state: State,
    squeeze: Step = mean_hw,
    normed: str = "both",
    gate: Step = torch.sigmoid,
) -> Tensor:
    """z ⊙ σ(W mean(z)), z = bn(x). normed: which of the two z is normed."""
    z = batch_norm(x, state, "norm")
    mean = squeeze(z if normed in ("both", "the mean") else x)[:, :, 0, 0]
    logits = mean @ state["fc.weight"][:, :, 0, 0].T
    return (z if normed in ("both", "the map") else x) * gate(logits)[:, :, None, None]


VARIANTS: Mapping[str, Changes] = {
    "sse": {
        "the norm is missing": {"normed": "none"},
        "the input of the gate is not normed": {"normed": "the map"},
        "the gated map is not normed": {"normed": "the mean"},
        **squeezes(),
        **gates(),
    }
}
