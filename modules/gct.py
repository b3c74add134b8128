"""Gated channel transformation: channels compete or cooperate by their norms.

Source card
  paper       Gated Channel Transformation for Visual Recognition. Zongxin Yang, Linchao Zhu,
              Yu Wu, Yi Yang. CVPR 2020. arXiv:1909.11519
  code        github.com/z-x-yang/GCT (no licence file)
  formula     y = x ⊙ (1 + tanh(γ ŝ + β)), ŝ = √C s / ‖s‖, s_c = α_c ‖x_c‖, equations 2 to 4;
              ‖v‖ = (Σ v² + ε)^½, ε = 1e-5
  place       before each convolution of the network
  left open   nothing. The authors' code adds ε to the mean of s² instead of to its sum; chosen:
              the sum, as in equation 3. A difference below 1e-5 where ‖s‖² > 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GCT(nn.Module):
    """y = x ⊙ (1 + tanh(γ ŝ + β)): N×C×H×W to the same; at first the identity, since γ = β = 0.

    eps: ε of the norms.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.alpha = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        s = self.alpha * (x.square().sum(dim=(2, 3)) + self.eps).sqrt()  # N×C
        norm = (s.square().sum(dim=1, keepdim=True) + self.eps).sqrt()  # N×1
        gate = torch.tanh(self.gamma * s * (x.shape[1] ** 0.5 / norm) + self.beta)
        return x * (1 + gate)[:, :, None, None]
