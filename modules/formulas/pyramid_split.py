"""Pyramid split attention, arXiv:2105.14447."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State
from .taps import conv


def pyramid_split(x: Tensor, state: State, groups: int = 0) -> Tensor:
    """[f_i ⊙ softmax_i(σ(W₂ relu(W₁ mean(f_i))))], f_i a convolution with the kernel 3 + 2i."""
    parts = [conv(x, state, f"convs.{i}") for i in range(4)]
    scores = []
    for part in parts:
        means = part.mean((2, 3))
        hidden = (means @ state["fc1.weight"].T + state["fc1.bias"]).relu()
        scores.append((hidden @ state["fc2.weight"].T + state["fc2.bias"]).sigmoid().exp())
    total = scores[0] + scores[1] + scores[2] + scores[3]
    pairs = zip(parts, scores, strict=True)
    return torch.cat([part * (score / total)[..., None, None] for part, score in pairs], dim=1)
