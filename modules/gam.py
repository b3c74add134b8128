"""GAM: a gate from an MLP at each position, then a gate from two wide convolutions.

Source card
  paper       Global Attention Mechanism: Retain Information to Enhance Channel-Spatial
              Interactions. Yichao Liu, Zongru Shao, Nico Hoffmann. 2021. arXiv:2112.05561
  code        none by the authors
  formula     z = x ⊙ σ(W₂ relu(W₁ x)), W at each position; equation 1
              y = z ⊙ σ(bn(conv7×7(relu(bn(conv7×7(z)))))), C to C/r to C; equation 2
  place       in every residual block, after the last norm
  left open   - r. Chosen: 16, which gives the 149.5 M of ResNet-50 on CIFAR-100 that EMA's authors
                print. Public copies have 4.
              - The σ of the first gate. Chosen: with it. A public copy has none.
              - The form with grouped convolutions and a channel shuffle is not here: where it
                shuffles could not be read.
              - Biases and norms. Chosen: biases, and a BatchNorm after each 7×7.
"""

from __future__ import annotations

from torch import Tensor, nn


class GlobalAttention(nn.Module):
    """y = z ⊙ σ(7×7 layers of z), z = x ⊙ σ(mlp(x)): N×C×H×W to the same.

    rd_ratio: 1/r, the width inside as a part of C.
    """

    def __init__(self, channels: int, rd_ratio: float = 1 / 16) -> None:
        super().__init__()
        width = max(1, int(channels * rd_ratio))
        self.channel = nn.Sequential(
            nn.Conv2d(channels, width, 1), nn.ReLU(), nn.Conv2d(width, channels, 1)
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, width, 7, padding=3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, channels, 7, padding=3),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        z = x * self.channel(x).sigmoid()
        gated: Tensor = z * self.spatial(z).sigmoid()
        return gated
