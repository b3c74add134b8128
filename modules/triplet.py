"""Triplet attention: three gates, each over two of the three axes C, H and W.

Source card
  paper       Rotate to Attend: Convolutional Triplet Attention Module. Diganta Misra,
              Trikay Nalamada, Ajay Uppili Arasanipalai, Qibin Hou. WACV 2021. arXiv:2010.03045
  formula     y = ⅓ Σ_axes rotate⁻¹(z ⊙ σ(bn(conv k×k([max(z), mean(z)])))), z = rotate(x),
              equation 4. Maximum and mean are over the axis that the rotation puts first
  place       before the sum with the shortcut
  left open   nothing. The norm's momentum (0.01) is from the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

AXES = (1, 2, 3)  # pooled over C, over H, over W


class TripletAttention(nn.Module):
    """The mean of three gated copies: N×C×H×W to the same.

    channels: part of the common signature, without effect.
    kernel_size: k, odd.
    """

    def __init__(self, channels: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.gates = nn.ModuleList(PlaneGate(kernel_size) for _ in AXES)

    def forward(self, x: Tensor) -> Tensor:
        gated = [
            gate(x.transpose(1, axis)).transpose(1, axis)
            for gate, axis in zip(self.gates, AXES, strict=True)
        ]
        together: Tensor = (gated[0] + gated[1] + gated[2]) / 3
        return together


class PlaneGate(nn.Module):
    """z ⊙ σ(bn(conv([max_1(z), mean_1(z)]))): N×A×B×C to the same, gated over B×C."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, z: Tensor) -> Tensor:
        pooled = torch.cat([z.amax(1, keepdim=True), z.mean(1, keepdim=True)], dim=1)  # N×2×B×C
        gate: Tensor = self.norm(self.conv(pooled)).sigmoid()  # N×1×B×C
        return z * gate
