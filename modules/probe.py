"""Work of a known amount, for measuring the tool itself: no attention, no paper."""

from __future__ import annotations

from torch import Tensor, nn

FACTOR = 1.0000001  # so near to 1 that the input comes back finite after any number of passes


class Probe(nn.Module):
    """y = x · f · f · …, once a pass: N×C×H×W to the same.

    101 passes are 1 % more real work than 100: what `selfcheck` plants to see whether it is found.

    channels: taken for the sake of the common signature.
    passes: how many times the map is gone through.
    copy: tells variants of equal work apart, and changes nothing.
    """

    def __init__(self, channels: int, passes: int = 100, copy: int = 0) -> None:
        super().__init__()
        if passes < 1:
            raise ValueError(f"Probe: passes is {passes}, and at least 1 (1?)")
        self.passes = passes

    def forward(self, x: Tensor) -> Tensor:
        y = x * FACTOR
        for _ in range(self.passes - 1):
            y.mul_(FACTOR)
        return y
