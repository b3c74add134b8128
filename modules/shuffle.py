"""Shuffle attention: half of each group is gated by channel, half by position, then all mix.

Source card
  paper       SA-Net: Shuffle Attention for Deep Convolutional Neural Networks. Qing-Long Zhang,
              Yu-Bin Yang. ICASSP 2021. arXiv:2102.00240
  code        github.com/wofmanaf/SA-Net, without a licence
  formula     x has G groups, each of two halves a and b of C/2G channels:
              a' = a ⊙ σ(W₁ mean(a) + b₁), b' = b ⊙ σ(W₂ norm(b) + b₂), equations 2 to 4
              y = shuffle([a', b'] of all groups): channel s·C/2 + i goes to 2i + s
  place       in every residual block, after the last norm
  left open   - The norm's groups. Chosen: as in the authors' code, one a channel, with weights.
                W₁, b₁, W₂, b₂ have one value a channel, and all groups share them.
              - The initial values. From that code: W 0, b 1.
              - Widths that 2G does not divide. Chosen: G is the greatest common divisor of 64 and
                C/2. It is the paper's 64 wherever 128 divides C.
"""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn

GROUPS = 64


class ShuffleAttention(nn.Module):
    """y = shuffle([a ⊙ σ(W₁ mean(a) + b₁), b ⊙ σ(W₂ norm(b) + b₂)]): N×C×H×W to the same.

    groups: G. By default, 64 or its largest divisor that fits.

    Raises ValueError if C is not a multiple of 2G.
    """

    def __init__(self, channels: int, groups: int | None = None) -> None:
        super().__init__()
        self.groups = groups or gcd(GROUPS, channels // 2)
        if channels % (2 * self.groups):
            raise ValueError(
                f"shuffle attention with {self.groups} groups: {channels} channels are not a "
                f"multiple of {2 * self.groups}"
            )
        width = channels // (2 * self.groups)
        self.norm = nn.GroupNorm(width, width)
        self.channel_weight, self.position_weight = (
            nn.Parameter(torch.zeros(width, 1, 1)) for _ in range(2)
        )
        self.channel_bias, self.position_bias = (
            nn.Parameter(torch.ones(width, 1, 1)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        groups = x.reshape(batch * self.groups, -1, height, width)
        a, b = groups.chunk(2, dim=1)  # N·G×C/2G×H×W each
        mean = a.mean(dim=(2, 3), keepdim=True)
        a = a * (self.channel_weight * mean + self.channel_bias).sigmoid()
        b = b * (self.position_weight * self.norm(b) + self.position_bias).sigmoid()
        gated = torch.cat([a, b], dim=1).reshape(batch, 2, channels // 2, height, width)
        return gated.transpose(1, 2).reshape(x.shape)
