"""The floor: every module must at least read its input and write its output."""

from __future__ import annotations

from torch import Tensor, nn


class Nothing(nn.Module):
    """y = x, the same tensor. In a network's slot it shows what the built-in module costs.

    Shape: N×C×H×W to the same.
    """

    def __init__(self, channels: int) -> None:
        """`channels` belongs to the common signature and has no effect."""
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Identity(nn.Module):
    """y = x in new memory: one read, one write, no arithmetic. The baseline of ratios.

    Shape: N×C×H×W to the same, in the same dtype and memory format.
    """

    def __init__(self, channels: int) -> None:
        """`channels` belongs to the common signature and has no effect."""
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()
