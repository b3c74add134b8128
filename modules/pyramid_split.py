"""Pyramid split attention: four kernel sizes, and a softmax over them for each channel.

Source card
  paper       EPSANet: An Efficient Pyramid Split Attention Block on Convolutional Neural Network.
              Hu Zhang, Keke Zu, Jian Lu, Yuru Zou, Deyu Meng. ACCV 2022. arXiv:2105.14447
  code        github.com/murufeng/EPSANet (no licence file)
  formula     y = [f₀ ⊙ a₀, …, f₃ ⊙ a₃], a = softmax_i(se(f_i)), f_i = conv kᵢ×kᵢ of x to C/4, in
              Gᵢ groups; k = 3, 5, 7, 9; G = 1, and 2^((k−1)/2) for k > 3;
              se(f) = σ(W₂ relu(W₁ mean(f))), ratio 16
  place       instead of the 3×3 of each block of ResNet (EPSANet-50 small)
  left open   - Whether the four parts share W₁ and W₂. Chosen: they do, as in the authors' code.
              - The order of the parts. Chosen: f₀ first, as in the paper; the authors' code has f₃
                first.
              - The biases. Chosen: as in that code, those of W₁ and W₂ alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

KERNELS = (3, 5, 7, 9)


class PyramidSplitAttention(nn.Module):
    """[f_i ⊙ softmax_i(se(f_i))], f_i with the kernel k_i: N×C×H×W to the same with stride 1.

    groups: the groups of every convolution; 0 gives 1, 4, 8 and 16, as in EPSANet small.
    stride: of the convolutions; ⌈H/s⌉×⌈W/s⌉ remain.
    rd_ratio: the width inside `se`, as a part of C/4.

    Raises ValueError if the groups do not divide C and C/4.
    """

    def __init__(
        self, channels: int, groups: int = 0, stride: int = 1, rd_ratio: float = 1 / 16
    ) -> None:
        super().__init__()
        part = channels // len(KERNELS)
        splits = [groups or (1 if k == 3 else 2 ** ((k - 1) // 2)) for k in KERNELS]
        if channels % 4 or any(part % split for split in splits):
            least = 4 * max(splits)
            raise ValueError(
                f"PyramidSplitAttention: {channels} channels are not a multiple of {least}"
            )
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, part, k, stride, padding=k // 2, groups=split, bias=False)
            for k, split in zip(KERNELS, splits, strict=True)
        )
        width = max(1, int(part * rd_ratio))
        self.fc1 = nn.Linear(part, width)
        self.fc2 = nn.Linear(width, part)

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.stack([conv(x) for conv in self.convs], dim=1)  # N×4×C/4×H×W
        means = parts.mean(dim=(3, 4))  # N×4×C/4
        weights = self.fc2(self.fc1(means).relu()).sigmoid().softmax(dim=1)
        joined: Tensor = (parts * weights[..., None, None]).flatten(1, 2)  # N×C×H×W
        return joined
