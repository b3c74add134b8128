"""SimAM: gates each element by its distance from the mean of its map, without parameters.

Source card
  paper       SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks.
              Lingxiao Yang, Ru-Yuan Zhang, Lida Li, Xiaohua Xie. ICML 2021, PMLR 139 (not on arXiv)
  formula     y = x ⊙ σ(1/E), 1/E = (x − μ)² / (4(v + λ)) + 1/2, equation 5. μ and v are the mean
              and the variance of the channel's map
  place       after the block's 3×3, before its norm. The place `inner` comes later: after norm and
              activation.
  left open   the divisor of v. Chosen: H·W − 1, as in the authors' code
              (github.com/ZjjConan/SimAM), and 1 for a map of one element.
"""

from __future__ import annotations

from torch import Tensor, nn


class SimAM(nn.Module):
    """y = x ⊙ σ((x − μ)² / (4(v + λ)) + 1/2): N×C×H×W to the same.

    channels: part of the common signature, without effect.
    eps: λ of the formula.
    """

    def __init__(self, channels: int, eps: float = 1e-4) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        elements = x.shape[2] * x.shape[3]
        square = (x - x.mean(dim=(2, 3), keepdim=True)).square()
        variance = square.sum(dim=(2, 3), keepdim=True) / max(elements - 1, 1)
        return x * (square / (4 * (variance + self.eps)) + 0.5).sigmoid()
