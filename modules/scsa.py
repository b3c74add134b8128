"""SCSA: gates along rows and columns of four kernel sizes, then self-attention of the channels.

Source card
  paper       SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention.
              Yunzhong Si, Huiying Xu, Xinzhong Zhu, Wenhao Zhang, Yao Dong, Yuxing Chen,
              Hongbo Li. Neurocomputing 2025. arXiv:2407.05128
  code        github.com/HZAI-ZJNU/SCSA (no licence file)
  formula     z = x ⊙ σ(gn₄(dw(mean_w(x)))) ⊙ σ(gn₄(dw(mean_h(x))))
              dw: depthwise 1-d, kernels 3, 5, 7, 9 for the four quarters of the channels; rows and
              columns share them, but not the norms
              y = z ⊙ σ(mean_hw(softmax(q kᵀ / √C) v)), q, k, v = depthwise 1×1 of
              gn₁(mean over windows of 7×7 of z)
  place       after the 3×3 of a block with norm and activation (`inner`)
  left open   - The maps smaller than the window. Chosen: one window of the whole side.
              - The remainder at the border. Chosen: as in the authors' code, it is left out.
              - The biases. Chosen: as in that code, the 1-d convolutions have them, q, k, v not.
              - The heads. Chosen: one, as in the paper and in that code's ImageNet settings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNELS = (3, 5, 7, 9)


class SCSA(nn.Module):
    """Gates along both axes, then one for each channel: N×C×H×W to the same.

    window: the side of the windows whose means the channels attend with.

    Raises ValueError if C is not a multiple of 4.
    """

    def __init__(self, channels: int, window: int = 7) -> None:
        super().__init__()
        if channels % len(KERNELS):
            raise ValueError(f"SCSA: {channels} channels are not a multiple of {len(KERNELS)}")
        part = channels // len(KERNELS)
        self.window = window
        self.convs = nn.ModuleList(
            nn.Conv1d(part, part, k, padding=k // 2, groups=part) for k in KERNELS
        )
        self.norm_h = nn.GroupNorm(len(KERNELS), channels)
        self.norm_w = nn.GroupNorm(len(KERNELS), channels)
        self.norm = nn.GroupNorm(1, channels)
        self.query, self.key, self.value = (
            nn.Conv2d(channels, channels, 1, groups=channels, bias=False) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        rows = self.norm_h(self._strips(x.mean(dim=3))).sigmoid()  # N×C×H
        columns = self.norm_w(self._strips(x.mean(dim=2))).sigmoid()  # N×C×W
        x = x * rows[:, :, :, None] * columns[:, :, None]

        window = [min(self.window, size) for size in x.shape[2:]]
        small = self.norm(F.avg_pool2d(x, window))
        q, k, v = (conv(small).flatten(2) for conv in (self.query, self.key, self.value))
        scores = q @ k.transpose(1, 2) / x.shape[1] ** 0.5  # N×C×C
        context = (scores.softmax(dim=-1) @ v).mean(dim=2)  # N×C
        gate: Tensor = context.sigmoid()[:, :, None, None]
        return x * gate

    def _strips(self, means: Tensor) -> Tensor:
        parts = means.chunk(len(KERNELS), dim=1)
        return torch.cat([conv(p) for conv, p in zip(self.convs, parts, strict=True)], dim=1)
