"""MCA: three gates, one along each of the axes C, H and W, from means and deviations.

Source card
  paper       MCA: Multidimensional collaborative attention in deep convolutional neural networks
              for image recognition. Yang Yu, Yi Zhang, Zeyu Cheng, Zhe Song, Chengkai Tang.
              Engineering Applications of Artificial Intelligence 126, 2023 (not on arXiv)
  code        github.com/ndsclark/MCANet (GPL 3)
  formula     y = ⅓ Σ_axes x ⊙ σ(conv_k(½(m + s) + α m + β s)); m and s are the mean and the
              standard deviation over the two other axes, the convolution is along the axis;
              α and β are learned, in (0, 1)
  place       before the sum with the shortcut
  left open   - k. Chosen: as in the authors' code, 3 for H and W, and for C the odd number at or
                below round((log₂C − 1) / 1.5).
              - α and β. Chosen: as in that code, σ of a parameter, for each axis.
              - The divisor of s. Chosen: n − 1, as in that code, and 1 for one element.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

AXES = (1, 2, 3)  # C, H, W


class MCA(nn.Module):
    """The mean of three gated copies: N×C×H×W to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        steps = round(abs((math.log2(channels) - 1) / 1.5))
        adapted = max(1, steps if steps % 2 else steps - 1)
        self.gates = nn.ModuleList(AxisGate(axis, adapted if axis == 1 else 3) for axis in AXES)

    def forward(self, x: Tensor) -> Tensor:
        c, h, w = (gate(x) for gate in self.gates)
        together: Tensor = x * (c + h + w) / 3
        return together


class AxisGate(nn.Module):
    """σ(conv(½(m + s) + α m + β s)) along one axis: N×C×H×W to N×C×1×1, N×1×H×1 or N×1×1×W."""

    def __init__(self, axis: int, kernel_size: int) -> None:
        super().__init__()
        self.axis = axis
        self.others = tuple(other for other in AXES if other != axis)
        self.weight = nn.Parameter(torch.rand(2))
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        elements = x.shape[self.others[0]] * x.shape[self.others[1]]
        mean = x.mean(dim=self.others)  # N×L
        deviation = x.std(dim=self.others, correction=min(1, elements - 1))
        alpha, beta = self.weight.sigmoid().unbind()
        pooled = (0.5 + alpha) * mean + (0.5 + beta) * deviation
        gate: Tensor = self.conv(pooled[:, None]).sigmoid()[:, 0]  # N×L
        shape = [1 if axis in self.others else size for axis, size in enumerate(x.shape)]
        return gate.reshape(shape)
