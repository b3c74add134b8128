"""Gated channel transformation, arXiv:1909.11519."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State


def gct(x: Tensor, state: State, eps: float = 1e-5) -> Tensor:
    """x_c (1 + tanh(γ_c ŝ_c + β_c)), ŝ = √C s / (Σ s² + ε)^½, s_c = α_c (Σ x_c² + ε)^½."""
    out = torch.empty_like(x)
    channels = x.shape[1]
    for image, result in zip(x, out, strict=True):
        s = [a * (image[c].square().sum() + eps) ** 0.5 for c, a in enumerate(state["alpha"])]
        norm = (sum(each * each for each in s) + eps) ** 0.5
        for c in range(channels):
            shown = channels**0.5 * s[c] / norm
            result[c] = image[c] * (1 + torch.tanh(state["gamma"][c] * shown + state["beta"][c]))
    return out
