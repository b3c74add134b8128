"""The gate that every evil module is built on. It does nothing wrong."""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """Weighs each channel by a gate from the means of all channels: N×C×H×W to the same shape.

    `before` runs in each call, and `calls` counts them, the first included.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.calls = 0

    def before(self, x: Tensor) -> None:
        """What an evil module does beside its work."""

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.before(x)
        return x * torch.sigmoid(self.mix(x.mean((2, 3), keepdim=True)))
