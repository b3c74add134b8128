"""The strip pooling module: a gate from the means of rows and columns.

Source card
  paper       Strip Pooling: Rethinking Spatial Pooling for Scene Parsing. Qibin Hou, Li Zhang,
              Ming-Ming Cheng, Jiashi Feng. CVPR 2020. arXiv:2003.13328
  code        github.com/houqb/SPNet (MIT)
  formula     y = x ⊙ σ(conv1×1(relu(u + v))), u = bn(conv3×1(mean_w(x))),
              v = bn(conv1×3(mean_h(x))), equations 3 to 6; u and v are repeated over the map
  place       after the 3×3 of the last block of each stage, and of every block of the last stage
  left open   the norms and the ReLU, which the equations do not have. Chosen: as in the authors'
              code, which has a bias in the 1×1 alone.
  timm        `timm/strip` has depthwise convolutions, multiplies one gate for rows and one for
              columns, and has no 1×1.
"""

from __future__ import annotations

from torch import Tensor, nn


class StripPooling(nn.Module):
    """y = x ⊙ σ(conv1×1(relu(u + v))): N×C×H×W to the same.

    In training the batch must be at least 2 for maps of one row or one column.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_h = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), bias=False)
        self.norm_h = nn.BatchNorm2d(channels)
        self.conv_w = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False)
        self.norm_w = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.norm_h(self.conv_h(x.mean(dim=3, keepdim=True)))  # N×C×H×1
        columns = self.norm_w(self.conv_w(x.mean(dim=2, keepdim=True)))  # N×C×1×W
        gate: Tensor = self.mix((rows + columns).relu()).sigmoid()  # N×C×H×W
        return x * gate
