"""SimAM: a gate from each element's distance from the mean of its map."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State
from .steps import Changes, Step, after_relu, gates


def simam(
    x: Tensor,
    state: State,
    eps: float = 1e-4,
    gate: Step = torch.sigmoid,
    axes: tuple[int, ...] = (2, 3),
    less: int = 1,
    half: float = 0.5,
    factor: float = 4,
) -> Tensor:
    """x ⊙ σ((x − μ)² / (4(v + λ)) + 1/2), equation 5 of the ICML 2021 paper; eps is λ.

    less: what the divisor of v lacks to the number of elements.
    """
    elements = 1
    for axis in axes:
        elements *= x.shape[axis]
    square = (x - x.sum(axes, keepdim=True) / elements) ** 2
    variance = square.sum(axes, keepdim=True) / max(elements - less, 1)
    return x * gate(square / (factor * (variance + eps)) + half)


FORMS: Mapping[str, Changes] = {"simam": {"its variance divides by H·W": {"less": 0}}}
VARIANTS: Mapping[str, Changes] = {
    "simam": {
        **{words: change for words, change in gates().items() if change["gate"] is not after_relu},
        "the term 1/2 is missing": {"half": 0.0},
        "the factor 4 is missing": {"factor": 1},
        **{f"λ is {eps:g}, not 1e-4": {"eps": eps} for eps in (1e-2, 1e-3, 1e-5, 1e-6, 1e-8, 0.0)},
        "mean and variance are over the channels, too": {"axes": (1, 2, 3)},
        "mean and variance are over the channels, not over the map": {"axes": (1,)},
    }
}
