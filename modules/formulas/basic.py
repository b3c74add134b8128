"""The copy and the probe."""

from __future__ import annotations

from torch import Tensor

from ..probe import FACTOR
from .parts import State


def identity(x: Tensor, state: State) -> Tensor:
    return x


def probe(x: Tensor, state: State, passes: int = 100) -> Tensor:
    return x * FACTOR**passes
