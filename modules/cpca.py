"""CPCA: a gate for each channel, then one for each element from depthwise strips.

Source card
  paper       Channel prior convolutional attention for medical image segmentation. Hejun Huang,
              Zuguo Chen, Ying Zou, Ming Lu, Chaoyang Chen. Computers in Biology and Medicine 2024.
              arXiv:2306.05196
  code        github.com/Cuthbert-Huang/CPCANet (no licence file)
  formula     z = x ⊙ σ(mlp(mean(x)) + mlp(max(x)))
              y = z ⊙ conv1×1(u + Σ_k dw k×1(dw 1×k(u))), u = dw 5×5(z), k = 7, 11, 21
  place       in each block of a segmentation network (CPCANet)
  left open   - The ratio of the MLP. Chosen: 1/4, as in the authors' code.
              - The biases. Chosen: as in that code, every convolution has one.
              - That code differs from the formula: it gates by σ(mlp(mean)) + σ(mlp(max)), starts
                with a 1×1 and a GELU, and ends with a 1×1. One set of weights serves its three
                1×1. Chosen: the formula.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRIPS = (7, 11, 21)


class CPCA(nn.Module):
    """A channel gate, then a map from depthwise strips as factor: N×C×H×W to the same.

    rd_ratio: the width of the MLP, as a part of C.
    """

    def __init__(self, channels: int, rd_ratio: float = 1 / 4) -> None:
        super().__init__()
        width = max(1, int(channels * rd_ratio))
        self.fc1 = nn.Conv2d(channels, width, 1)
        self.fc2 = nn.Conv2d(width, channels, 1)
        self.square = _depthwise(channels, (5, 5))
        self.strips = nn.ModuleList(
            nn.Sequential(_depthwise(channels, (1, k)), _depthwise(channels, (k, 1)))
            for k in STRIPS
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.stack([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))])  # 2×N×C
        logits = self.fc2(self.fc1(pooled.flatten(0, 1)[..., None, None]).relu())  # 2N×C×1×1
        mean, most = logits.chunk(2)
        x = x * (mean + most).sigmoid()
        context = self.square(x)
        context = context + sum(strip(context) for strip in self.strips)
        out: Tensor = x * self.mix(context)
        return out


def _depthwise(channels: int, kernel: tuple[int, int]) -> nn.Conv2d:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels)
