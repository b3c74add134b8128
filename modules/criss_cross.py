"""Criss-cross attention: each position attends to those of its row and its column.

Source card
  paper       CCNet: Criss-Cross Attention for Semantic Segmentation. Zilong Huang, Xinggang Wang,
              Yunchao Wei, Lichao Huang, Humphrey Shi, Wenyu Liu, Thomas S. Huang. ICCV 2019.
              arXiv:1811.11721
  code        github.com/speedinghzl/CCNet (MIT)
  formula     y_u = γ Σ_i A_{i,u} v_i + x_u, A_u = softmax_i(q_u · k_i), equations 1 and 2; i runs
              over the H + W − 1 positions in the row and the column of u; q, k, v are 1×1 of x
  place       in a segmentation head on ResNet-101, after a 3×3 that reduces the channels; R = 2
              passes with the same weights let each position reach each other one
  left open   - The width of q and k. Chosen: C/8, as in the authors' code.
              - γ is in that code only, and starts at 0. Chosen: the same.
              - The biases. Chosen: as in that code, the three 1×1 have biases.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CrissCrossAttention(nn.Module):
    """y_u = γ Σ_i A_{i,u} v_i + x_u over the row and the column of u: N×C×H×W to the same.

    passes: R, how often the input goes through the module.
    rd_ratio: the width of q and k, as a part of C.
    """

    def __init__(self, channels: int, passes: int = 1, rd_ratio: float = 1 / 8) -> None:
        super().__init__()
        width = max(1, int(channels * rd_ratio))
        self.passes = passes
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.passes):
            x = self.attend(x)
        return x

    def attend(self, x: Tensor) -> Tensor:
        """One pass."""
        q, k, v = self.query(x), self.key(x), self.value(x)
        height = x.shape[2]
        column = torch.einsum("nchw,ncgw->nhwg", q, k)  # N×H×W×H
        row = torch.einsum("nchw,nchv->nhwv", q, k)  # N×H×W×W
        # The row has the position itself already.
        itself = torch.eye(height, dtype=torch.bool, device=x.device)[:, None]  # H×1×H
        column = column.masked_fill(itself, float("-inf"))
        weights = torch.cat([column, row], dim=-1).softmax(dim=-1)
        of_column, of_row = weights[..., :height], weights[..., height:]
        context = torch.einsum("nhwg,ncgw->nchw", of_column, v)
        context = context + torch.einsum("nhwv,nchv->nchw", of_row, v)
        return self.gamma * context + x
