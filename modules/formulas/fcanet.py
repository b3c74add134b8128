"""Frequency channel attention, arXiv:2012.11879, one channel after the other."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi, sqrt

import torch
from torch import Tensor

from .parts import State, mlp
from .steps import Changes, Step, activations, gates

# 16 pairs of frequencies (u, v) on 7×7, from the authors' list "top16".
DIGITS = "00016005021012405016300406033522"


def fca(
    x: Tensor,
    state: State,
    rd_ratio: float = 1 / 16,
    digits: str = DIGITS,
    parts: int = 16,
    scaled: bool = True,
    turned: bool = False,
    act: Step = torch.relu,
    gate: Step = torch.sigmoid,
) -> Tensor:
    """x ⊙ σ(W₂ relu(W₁ d)), d_c the coefficient of x_c for the frequency of its part.

    digits: the frequencies. parts: of the channels. scaled: whether frequencies grow with the map.
    turned: whether u counts columns.
    """
    channels, height, width = x.shape[1:]
    spectrum = torch.zeros_like(x[:, :, :1, :1])
    for c in range(channels):
        part = c * parts // channels
        u, v = (int(digit) for digit in digits[2 * part : 2 * part + 2])
        u, v = (v, u) if turned else (u, v)
        rows = [_cosine(u * (height // 7 if scaled else 1), i, height) for i in range(height)]
        columns = [_cosine(v * (width // 7 if scaled else 1), i, width) for i in range(width)]
        left, right = (torch.tensor(values, dtype=x.dtype) for values in (rows, columns))
        spectrum[:, c, 0, 0] = (x[:, c] @ right) @ left
    return x * gate(mlp(spectrum, state, "", act))


def _cosine(frequency: int, index: int, size: int) -> float:
    """Element `index` of a vector of the orthonormal DCT-II."""
    if frequency == 0:
        return sqrt(1 / size)
    return sqrt(2 / size) * cos(pi * frequency * (index + 0.5) / size)


FORMS: Mapping[str, Changes] = {
    "fca": {"its frequencies do not grow with the map": {"scaled": False}}
}
VARIANTS: Mapping[str, Changes] = {
    "fca": {
        "each channel has the lowest frequency, which is a mean": {"digits": "00" * 16},
        "rows and columns of the frequencies are exchanged": {"turned": True},
        "8 frequencies are used, not 16": {"parts": 8},
        **activations(),
        **gates(),
    }
}
