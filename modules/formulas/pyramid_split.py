"""Pyramid split attention, arXiv:2105.14447."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State
from .steps import Changes, Step, activations, mean_hw, same, squeezes
from .taps import conv


def pyramid_split(
    x: Tensor,
    state: State,
    groups: int = 0,
    squeeze: Step = mean_hw,
    act: Step = torch.relu,
    gate: Step = torch.sigmoid,
    share: str = "over the parts",
) -> Tensor:
    """[f_i ⊙ softmax_i(σ(W₂ relu(W₁ mean(f_i))))], f_i a convolution with the kernel 3 + 2i."""
    parts = [conv(x, state, f"convs.{i}") for i in range(4)]
    scores = []
    for part in parts:
        means = squeeze(part)[:, :, 0, 0]
        hidden = act(means @ state["fc1.weight"].T + state["fc1.bias"])
        scores.append(gate(hidden @ state["fc2.weight"].T + state["fc2.bias"]))
    gates = _shares(torch.stack(scores), share)
    pairs = zip(parts, gates, strict=True)
    return torch.cat([part * gate[..., None, None] for part, gate in pairs], dim=1)


def _shares(scores: Tensor, share: str) -> Tensor:
    """4×N×C to the same."""
    if share == "none":
        return scores
    each = scores.exp()
    return each / each.sum(2 if share == "over the channels" else 0, keepdim=True)


VARIANTS: Mapping[str, Changes] = {
    "pyramid_split": {
        "the softmax over the parts is missing": {"share": "none"},
        "the softmax is over the channels, not over the parts": {"share": "over the channels"},
        "the sigmoid before the softmax is missing": {"gate": same},
        **activations(),
        **squeezes(),
    }
}
