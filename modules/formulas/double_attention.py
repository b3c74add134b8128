"""Double attention, arXiv:1810.11579, one descriptor after the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State, pointwise
from .steps import Changes


def a2(
    x: Tensor,
    state: State,
    rd_ratio: float = 1 / 4,
    gather: tuple[int, ...] = (2, 3),
    distribute: tuple[int, ...] = (1,),
) -> Tensor:
    """x + W Σ_n (Σ_p softmax_p(b_n) a) softmax_n(v), the descriptors n.

    gather, distribute: the axes over which the two softmaxes sum to 1; empty is no softmax.
    """
    features, scores, choices = (
        pointwise(x, state, name) for name in ("features", "gather", "distribute")
    )
    chosen, attention = _share(choices, distribute), _share(scores, gather)
    z = torch.zeros_like(features)
    for n in range(scores.shape[1]):
        descriptor = (features * attention[:, n : n + 1]).sum((2, 3), keepdim=True)  # N×m×1×1
        z += descriptor * chosen[:, n : n + 1]
    return x + pointwise(z, state, "expand")


def _share(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.exp() / x.exp().sum(axes, keepdim=True) if axes else x


VARIANTS: Mapping[str, Changes] = {
    "a2": {
        "the softmax of the gathering is missing": {"gather": ()},
        "the softmax of the distribution is missing": {"distribute": ()},
        "both softmaxes are missing": {"gather": (), "distribute": ()},
        "the softmax of the gathering is over the descriptors, not over the positions": {
            "gather": (1,)
        },
        "the softmax of the distribution is over the positions, not over the descriptors": {
            "distribute": (2, 3)
        },
        "the softmaxes are over each other's axis": {"gather": (1,), "distribute": (2, 3)},
        "the softmax of the gathering is over each row, not over the map": {"gather": (3,)},
    }
}
