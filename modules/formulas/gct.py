"""Gated channel transformation, arXiv:1909.11519."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State
from .steps import Changes, Step, same


def gct(
    x: Tensor,
    state: State,
    eps: float = 1e-5,
    power: int = 2,
    scale: float = 0.5,
    normed: bool = True,
    shift: float = 1.0,
    gate: Step = torch.tanh,
) -> Tensor:
    """x_c (1 + tanh(γ_c ŝ_c + β_c)), ŝ = √C s / (Σ s² + ε)^½, s_c = α_c (Σ x_c² + ε)^½.

    power: of the two norms. scale: the power of C. shift: the 1 before the gate.
    """
    out = torch.empty_like(x)
    channels = x.shape[1]
    for image, result in zip(x, out, strict=True):
        s = [a * _norm(image[c], power, eps) for c, a in enumerate(state["alpha"])]
        norm = _norm(torch.stack(s), power, eps) if normed else 1.0
        for c in range(channels):
            shown = channels**scale * s[c] / norm
            result[c] = image[c] * (shift + gate(state["gamma"][c] * shown + state["beta"][c]))
    return out


def _norm(x: Tensor, power: int, eps: float) -> Tensor:
    return (x.abs() ** power).sum().add(eps) ** (1 / power)


VARIANTS: Mapping[str, Changes] = {
    "gct": {
        "the norms are of first order, not of second": {"power": 1},
        "the norm over the channels is missing": {"normed": False},
        "the factor √C is missing": {"scale": 0.0},
        "the factor is C, not √C": {"scale": 1.0},
        "the gate lacks the 1 before tanh": {"shift": 0.0},
        "a sigmoid stands for 1 + tanh": {"gate": torch.sigmoid, "shift": 0.0},
        "a sigmoid stands for tanh": {"gate": torch.sigmoid},
        "tanh is missing": {"gate": same},
    }
}
