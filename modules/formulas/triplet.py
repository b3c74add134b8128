"""Triplet attention: three gates, each over two of the three axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .parts import State, batch_norm
from .steps import Changes, Step, conv, gates, mean_c, most_c

ORDERS = {"C": (0, 1, 2, 3), "H": (0, 2, 1, 3), "W": (0, 3, 2, 1)}  # the axis to pool goes first


def triplet(
    x: Tensor,
    state: State,
    axes: str = "CHW",
    maps: Sequence[Step] = (most_c, mean_c),
    gate: Step = torch.sigmoid,
    share: float | None = None,
) -> Tensor:
    """⅓ Σ rotate⁻¹(z ⊙ σ(bn(k×k([max(z), mean(z)])))), z = rotate(x), arXiv:2010.03045.

    axes: those that are pooled. share: what the sum is multiplied with, not 1 / the number of axes.
    """
    together = torch.zeros_like(x)
    for axis in axes:
        index = "CHW".index(axis)
        z = x.permute(ORDERS[axis])
        y = conv(torch.cat([pool(z) for pool in maps], dim=1), state, f"gates.{index}.conv")
        y = batch_norm(y, state, f"gates.{index}.norm")
        together = together + (z * gate(y)).permute(ORDERS[axis])
    return together * (1 / len(axes) if share is None else share)


FORMS: Mapping[str, Changes] = {
    "triplet": {
        "its convolutions take the mean first, then the maximum": {"maps": (mean_c, most_c)}
    }
}
VARIANTS: Mapping[str, Changes] = {
    "triplet": {
        "the branches are added, and not divided by 3": {"share": 1.0},
        "the branch over the positions is missing": {"axes": "HW"},
        "the branch over the positions is missing, and the sum is not divided": {
            "axes": "HW",
            "share": 1.0,
        },
        "the branch pooled over the height is missing": {"axes": "CW"},
        "the branch pooled over the width is missing": {"axes": "CH"},
        **gates(),
        "the maximum is missing": {"maps": (mean_c,)},
        "the mean is missing": {"maps": (most_c,)},
    }
}
