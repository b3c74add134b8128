"""Spatial group-wise enhance: gates each position by its likeness to the mean of its group.

Source card
  paper       Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional
              Networks. Xiang Li, Xiaolin Hu, Jian Yang. 2019. arXiv:1905.09646
  code        github.com/implus/PytorchInsight, without a licence
  formula     x has G groups; for the positions i of one group, with g the mean of its x_i:
              c_i = g·x_i, ĉ_i = (c_i − μ_c) / (σ_c + ε), y_i = x_i ⊙ σ(γ ĉ_i + β)
  place       in every residual block, after the last norm
  left open   - The divisor of σ_c². Chosen: H·W, as in the paper; the authors' code has H·W − 1.
              - The initial values. From that code: γ 0, β 1.
              - Widths that G does not divide. Chosen: G is the greatest common divisor of 64 and C.
"""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn

GROUPS = 64


class SpatialGroupEnhance(nn.Module):
    """y = x ⊙ σ(γ norm(g·x) + β) in each group, g the group's mean: N×C×H×W to the same.

    groups: G. By default, 64 or its largest divisor that fits.
    eps: ε of the formula.

    Raises ValueError if C is not a multiple of G.
    """

    def __init__(self, channels: int, groups: int | None = None, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = groups or gcd(GROUPS, channels), eps
        if channels % self.groups:
            raise ValueError(
                f"SGE: {channels} channels are not a multiple of the {self.groups} groups"
            )
        self.weight = nn.Parameter(torch.zeros(self.groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(self.groups, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        groups = x.unflatten(1, (self.groups, -1))  # N×G×C/G×H×W
        likeness = (groups * groups.mean(dim=(3, 4), keepdim=True)).sum(dim=2)  # N×G×H×W
        # `std_mean` has a gradient of 0, not NaN, where a map is constant.
        deviation, mean = torch.std_mean(likeness, dim=(2, 3), correction=0, keepdim=True)
        scores = (likeness - mean) / (deviation + self.eps)
        gate = (self.weight * scores + self.bias).sigmoid()
        enhanced: Tensor = (groups * gate.unsqueeze(2)).flatten(1, 2)
        return enhanced
