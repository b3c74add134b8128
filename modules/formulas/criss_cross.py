"""Criss-cross attention, arXiv:1811.11721."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State
from .steps import Changes
from .taps import conv


def criss_cross(
    x: Tensor,
    state: State,
    passes: int = 1,
    kept: str = "row and column",
    divisor: float = 0.0,
    names: str = "query key value",
    softmax: bool = True,
    scaled: bool = True,
) -> Tensor:
    """y_u = γ Σ_i softmax_i(q_u · k_i) v_i + x_u, position by position, `passes` times.

    kept: the positions i. divisor: the power of the width of q by which the scores are divided.
    """
    for _ in range(passes):
        q, k, v = (conv(x, state, name) for name in names.split())
        out = torch.empty_like(x)
        height, width = x.shape[2:]
        for i in range(height):
            for j in range(width):
                cross = _cross(i, j, height, width, kept)
                rows, columns = (list(each) for each in zip(*cross, strict=True))
                scores = (q[:, :, i, j, None] * k[:, :, rows, columns]).sum(1)  # N×(H+W−1)
                scores = scores / q.shape[1] ** divisor
                shares = scores.exp() / scores.exp().sum(1, keepdim=True)
                weights = shares if softmax else scores
                out[:, :, i, j] = (weights[:, None] * v[:, :, rows, columns]).sum(2)
        x = (state["gamma"] if scaled else 1.0) * out + x
    return x


def _cross(i: int, j: int, height: int, width: int, kept: str) -> list[tuple[int, int]]:
    """The positions that attend to (i, j)."""
    row, column = [(i, c) for c in range(width)], [(r, j) for r in range(height)]
    match kept:
        case "row":
            return row
        case "column":
            return column
        case "centre twice":
            return row + column
        case "without the centre":
            return [place for place in row + column if place != (i, j)] or [(i, j)]
    return row + [place for place in column if place != (i, j)]


FORMS: Mapping[str, Changes] = {"criss_cross": {"it has no γ": {"scaled": False}}}
VARIANTS: Mapping[str, Changes] = {
    "criss_cross": {
        "the position itself is counted twice, in its row and in its column": {
            "kept": "centre twice"
        },
        "the position itself is left out": {"kept": "without the centre"},
        "the row alone is attended to": {"kept": "row"},
        "the column alone is attended to": {"kept": "column"},
        "the scores are divided by the root of the width": {"divisor": 0.5},
        "query and key are exchanged": {"names": "key query value"},
        "the softmax is missing": {"softmax": False},
        "there are two passes, not one": {"passes": 2},
    }
}
