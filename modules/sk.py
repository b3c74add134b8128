"""Selective kernel: two kernel sizes, and a softmax over them for each channel.

Source card
  paper       Selective Kernel Networks. Xiang Li, Wenhai Wang, Xiaolin Hu, Jian Yang. CVPR 2019.
              arXiv:1903.06586
  code        github.com/implus/SKNet (Caffe prototxts, no licence file)
  formula     y = a ⊙ u₁ + (1 − a) ⊙ u₂, [a, 1 − a] = softmax([A z, B z]),
              z = relu(bn(W mean(u₁ + u₂))), u = relu(bn(conv(x))), equations 1 to 6;
              the convolutions are 3×3 in G groups with dilation 1 and 2 (the 5×5); z has
              max(C/r, L) elements; G = 32, r = 16, L = 32
  place       instead of the grouped 3×3 of each block of ResNeXt (SKNet-50)
  left open   nothing. The prototxts have no biases.
  timm        `timm/sk` gives each convolution half of the channels, has no groups by default, and
              rounds C/r to a multiple of 8, with no L.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DILATIONS = (1, 2)


class SelectiveKernel(nn.Module):
    """Two convolutions, mixed for each channel: N×C×H×W to the same with stride 1.

    In training the batch must be at least 2, because z normalises one value for each image.

    groups: G.
    rd_ratio: 1/r.
    rd_least: L.
    stride: of the convolutions; ⌈H/s⌉×⌈W/s⌉ remain.

    Raises ValueError if G does not divide C.
    """

    def __init__(
        self,
        channels: int,
        groups: int = 32,
        rd_ratio: float = 1 / 16,
        rd_least: int = 32,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"SelectiveKernel: {groups} groups do not divide {channels} channels")
        width = max(int(channels * rd_ratio), rd_least)
        self.paths = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, stride, d, d, groups, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            for d in DILATIONS
        )
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.select = nn.Conv2d(width, len(DILATIONS) * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.stack([path(x) for path in self.paths], dim=1)  # N×2×C×H×W
        z = self.reduce(maps.sum(dim=1).mean(dim=(2, 3), keepdim=True))  # N×d×1×1
        weights = self.select(z).unflatten(1, (len(DILATIONS), -1)).softmax(dim=1)  # N×2×C×1×1
        mixed: Tensor = (maps * weights).sum(dim=1)
        return mixed
