"""DANet's two modules: every position attends to every position, every channel to every channel.

Source card
  paper       Dual Attention Network for Scene Segmentation. Jun Fu, Jing Liu, Haijie Tian, Yong Li,
              Yongjun Bao, Zhiwei Fang, Hanqing Lu. CVPR 2019. arXiv:1809.02983
  code        github.com/junfu1115/DANet, MIT
  formula     position: y_j = x_j + α Σ_i s_ji d_i, s_j = softmax_i(b_i·c_j), equations 1 and 2;
              b, c (C/8 channels) and d (C) are 1×1 convolutions of x
              channel: y_j = x_j + β Σ_i s_ji x_i, s_j = softmax_i(x_i·x_j), equations 3 and 4;
              x_i is the map of channel i
  place       on the reduced output of a segmentation network, both in parallel; their sum is used
  left open   - The width of b and c, and biases. Chosen: as in the authors' code, C/8 and biases.
              - The sign in the channel module. The authors' code has softmax_i(−x_i·x_j).
                Chosen: the paper's.
              - α and β start at 0, as the paper says: a fresh module is the identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PositionAttention(nn.Module):
    """y = x + α d softmax(cᵀb)ᵀ over H·W positions: N×C×H×W to the same.

    It needs memory for (H·W)² numbers an image.

    rd_ratio: the width of b and c as a part of C.
    """

    def __init__(self, channels: int, rd_ratio: float = 1 / 8) -> None:
        super().__init__()
        width = max(1, int(channels * rd_ratio))
        self.key = nn.Conv2d(channels, width, 1)
        self.query = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key = self.query(x).flatten(2), self.key(x).flatten(2)  # N×C/8×H·W
        shares = (query.transpose(1, 2) @ key).softmax(dim=2)  # N×H·W×H·W: a row a position j
        mixed = self.value(x).flatten(2) @ shares.transpose(1, 2)  # N×C×H·W
        together: Tensor = x + self.scale * mixed.view(x.shape)
        return together


class ChannelAttention(nn.Module):
    """y = x + β softmax(X Xᵀ) X, X the C×H·W matrix of the maps: N×C×H×W to the same.

    channels: part of the common signature, without effect.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        maps = x.flatten(2)  # N×C×H·W
        shares = (maps @ maps.transpose(1, 2)).softmax(dim=2)  # N×C×C: a row a channel j
        return x + self.scale * (shares @ maps).view(x.shape)
