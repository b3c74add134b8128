"""A known amount of work, to measure the tool itself. It is not an attention module."""

from __future__ import annotations

from torch import Tensor, nn

FACTOR = 1.0000001  # so close to 1 that the output stays finite


class Probe(nn.Module):
    """y = x · f · f · …, one factor in each pass: N×C×H×W to the same.

    101 passes are 1 % more work than 100. `selfcheck` plants this difference to see if it is found.

    channels: part of the common signature, without effect.
    passes: the number of passes over the map, at least 1.
    copy: a label that distinguishes variants of equal work, without effect.

    Raises ValueError for less than one pass.
    """

    def __init__(self, channels: int, passes: int = 100, copy: int = 0) -> None:
        super().__init__()
        if passes < 1:
            raise ValueError(f"Probe: passes must be at least 1, not {passes} (1?)")
        self.passes = passes

    def forward(self, x: Tensor) -> Tensor:
        y = x * FACTOR
        for _ in range(self.passes - 1):
            y.mul_(FACTOR)
        return y
