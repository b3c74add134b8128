"""Efficient channel attention: a 1-d convolution of the means along the channels.

Source card
  paper       ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks.
              Qilong Wang, Banggu Wu, Pengfei Zhu, Peihua Li, Wangmeng Zuo, Qinghua Hu. CVPR 2020.
              arXiv:1910.03151
  code        github.com/BangguWu/ECANet (MIT)
  formula     y = x ⊙ σ(conv_k(mean(x))), k = |(log₂C + b) / γ|_odd, γ = 2, b = 1, equations 9
              and 12; |t|_odd is the odd number next to t
  place       before the sum with the shortcut
  left open   |t|_odd of an even t. Chosen: t + 1, as in the authors' code. Their networks for
              ImageNet set k for each stage instead (`kernel_size`).
  timm        `timm/eca` has k ≥ 3, so it differs below 8 channels.
"""

from __future__ import annotations

import math

from torch import Tensor, nn


class ECA(nn.Module):
    """y = x ⊙ σ(conv_k(mean(x))): N×C×H×W to the same.

    kernel_size: k, odd; 0 for that of the formula.

    Raises ValueError for an even k.
    """

    def __init__(self, channels: int, kernel_size: int = 0) -> None:
        super().__init__()
        kernel = kernel_size or odd_kernel(channels)
        if kernel % 2 == 0:
            raise ValueError(f"ECA: kernel {kernel} is even ({kernel - 1} or {kernel + 1}?)")
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3))[:, None]  # N×1×C
        gate: Tensor = self.conv(means).sigmoid()[:, 0, :, None, None]
        return x * gate


def odd_kernel(channels: int) -> int:
    """|(log₂C + 1) / 2|_odd.

    >>> [odd_kernel(channels) for channels in (64, 128, 256, 512, 1024, 2048)]
    [3, 5, 5, 5, 5, 7]
    """
    return 2 * int((math.log2(channels) + 1) / 4) + 1
