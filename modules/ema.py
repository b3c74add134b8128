"""Efficient multi-scale attention: two views of each group of channels gate it together.

Source card
  paper       Efficient Multi-Scale Attention Module with Cross-Spatial Learning. Daliang Ouyang,
              Su He, Guozhong Zhang, Mingzhu Luo, Huaiyong Guo, Jian Zhan, Zhijie Huang.
              ICASSP 2023. arXiv:2305.13563
  code        github.com/YOLOonMe/EMA-attention-module, without a licence
  formula     in each of G groups of x, with C/G channels; all groups share the weights:
              [h, w] = conv1×1([mean over columns, mean over rows]), u = gn(x ⊙ σ(h) ⊙ σ(w)),
              v = conv3×3(x), y = x ⊙ σ(softmax(mean(u))·v + softmax(mean(v))·u);
              softmax is over the C/G channels, · is a product over them
  place       ResNet: not stated. Here: in every residual block, after the last norm
  left open   - G. Chosen: 32, as in the authors' code; 8 in YOLO networks.
              - The norm's groups and biases. Chosen: as in that code, one group a channel; biases.
              - Widths that G does not divide. Chosen: G is the greatest common divisor of 32 and C.
  equal       The norm leaves a mean of exactly its bias: softmax(mean(u)) is one constant for all
              images.
"""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn

GROUPS = 32


class EfficientMultiScale(nn.Module):
    """y = x ⊙ σ(softmax(mean(u))·v + softmax(mean(v))·u) in each group: N×C×H×W to the same.

    groups: G. By default, 32 or its largest divisor that fits.

    Raises ValueError if C is not a multiple of G.
    """

    def __init__(self, channels: int, groups: int | None = None) -> None:
        super().__init__()
        self.groups = groups or gcd(GROUPS, channels)
        if channels % self.groups:
            raise ValueError(
                f"EMA: {channels} channels are not a multiple of the {self.groups} groups"
            )
        width = channels // self.groups
        self.pointwise = nn.Conv2d(width, width, 1)
        self.local = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(width, width)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        groups = x.reshape(x.shape[0] * self.groups, -1, height, width)  # N·G×C/G×H×W
        rows, columns = groups.mean(dim=3), groups.mean(dim=2)  # N·G×C/G×H and ×W
        lines = self.pointwise(torch.cat([rows, columns], dim=2).unsqueeze(3)).sigmoid()
        of_rows, of_columns = lines.split([height, width], dim=2)  # N·G×C/G×H×1 and ×W×1
        u = self.norm(groups * of_rows * of_columns.transpose(2, 3))
        v = self.local(groups)
        gate = (_cross(u, v) + _cross(v, u)).sigmoid()  # N·G×1×H×W
        gated: Tensor = (groups * gate).reshape(x.shape)
        return gated


def _cross(one: Tensor, other: Tensor) -> Tensor:
    """Σ_c softmax(mean(one))_c other_c: two N×C×H×W to N×1×H×W."""
    shares = one.mean(dim=(2, 3)).softmax(dim=1).unsqueeze(1)  # N×1×C
    scores: Tensor = shares @ other.flatten(2)  # N×1×H·W
    return scores.view_as(other[:, :1])
