"""SRM: gates each channel by its mean and its standard deviation, its style.

Source card
  paper       SRM: A Style-based Recalibration Module for Convolutional Neural Networks.
              HyunJae Lee, Hyo-Eun Kim, Hyeonseob Nam. ICCV 2019. arXiv:1903.10829
  code        github.com/hyunjaelee410/style-based-recalibration-module, without a licence
  formula     y_c = x_c · σ(bn(w_c1 μ_c + w_c2 σ_c)), μ_c and σ_c of the map of channel c
  place       in every residual block, after the last norm
  left open   - The divisor of σ_c². Chosen: H·W, as in the paper; the authors' code has H·W − 1.
              - ε = 1e-5 under the root, and w = 0 at the start, are from that code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StyleRecalibration(nn.Module):
    """y = x ⊙ σ(bn(w₁ mean(x) + w₂ std(x))): N×C×H×W to the same.

    In training the batch must be at least 2, because the norm sees one value for each channel and
    image.

    eps: added to the variance before the root.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.mean_weight, self.std_weight = (
            nn.Parameter(torch.zeros(channels, 1, 1)) for _ in range(2)
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)  # N×C×1×1
        style = self.mean_weight * mean + self.std_weight * (variance + self.eps).sqrt()
        gate: Tensor = self.norm(style).sigmoid()
        return x * gate
