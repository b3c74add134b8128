"""Frequency channel attention, arXiv:2012.11879, one channel after the other."""

from __future__ import annotations

from math import cos, pi, sqrt

import torch
from torch import Tensor

from .parts import State, pointwise

# 16 pairs of frequencies (u, v) on 7×7, from the authors' list "top16".
DIGITS = "00016005021012405016300406033522"


def fca(x: Tensor, state: State, rd_ratio: float = 1 / 16) -> Tensor:
    channels, height, width = x.shape[1:]
    spectrum = torch.zeros_like(x[:, :, :1, :1])
    for c in range(channels):
        part = c * 16 // channels
        u, v = (int(digit) for digit in DIGITS[2 * part : 2 * part + 2])
        rows = [_cosine(u * (height // 7), i, height) for i in range(height)]
        columns = [_cosine(v * (width // 7), i, width) for i in range(width)]
        left, right = (torch.tensor(values, dtype=x.dtype) for values in (rows, columns))
        spectrum[:, c, 0, 0] = (x[:, c] @ right) @ left
    return x * pointwise(pointwise(spectrum, state, "fc1").relu(), state, "fc2").sigmoid()


def _cosine(frequency: int, index: int, size: int) -> float:
    """Element `index` of a vector of the orthonormal DCT-II."""
    if frequency == 0:
        return sqrt(1 / size)
    return sqrt(2 / size) * cos(pi * frequency * (index + 0.5) / size)
