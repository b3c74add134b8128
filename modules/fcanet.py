"""FcaNet's frequency channel attention: SE whose pooling is a DCT coefficient instead of a mean.

Source card
  paper       FcaNet: Frequency Channel Attention Networks. Zequn Qin, Pengyi Zhang, Fei Wu, Xi Li.
              ICCV 2021. arXiv:2012.11879
  code        github.com/cfzd/FcaNet, MIT
  formula     y = x ⊙ σ(W₂ relu(W₁ d)), d_c = Σ_hw x_chw B_h(u_c) B_w(v_c), W without biases:
              B_h(u) = cos(πu(h + ½)/H) / √H, times √2 if u > 0; the C channels are in 16 equal
              parts, and part k has the frequency (u, v) number k of the "top16" (FcaNet-TS)
  place       in every residual block, after the last norm
  left open   - The frequencies of maps that are not 7×7. Chosen: as in the authors' code, ⌊H/7⌋u
                and ⌊W/7⌋v. Maps of another size than `feat_size` are first averaged to it.
              - The order of the 16 frequencies is from that code.
              - Widths that 16 does not divide. Chosen: channel c is in part ⌊16c/C⌋.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 7  # of the maps on which the frequencies were ranked
TOP16 = tuple(
    zip(
        (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2),
        (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2),
        strict=True,
    )
)
"""(u, v) along the height and along the width, the best first."""


class FrequencyChannelAttention(nn.Module):
    """y = x ⊙ σ(W₂ relu(W₁ dct(x))): N×C×H×W to the same.

    feat_size: (H, W) of the maps for which the cosines are made.
    rd_ratio: the width inside as a part of C.
    """

    basis: Tensor

    def __init__(
        self, channels: int, feat_size: tuple[int, int] = (SIDE, SIDE), rd_ratio: float = 1 / 16
    ) -> None:
        super().__init__()
        width = max(1, int(channels * rd_ratio))
        self.fc1 = nn.Conv2d(channels, width, 1, bias=False)
        self.fc2 = nn.Conv2d(width, channels, 1, bias=False)
        self.register_buffer("basis", _basis(channels, *feat_size), persistent=False)  # C×H×W

    def forward(self, x: Tensor) -> Tensor:
        _, height, width = self.basis.shape
        fits = x.shape[2:] == (height, width)
        maps = x if fits else F.adaptive_avg_pool2d(x, (height, width))
        spectrum = (maps * self.basis).sum(dim=(2, 3), keepdim=True)  # N×C×1×1
        gate: Tensor = self.fc2(self.fc1(spectrum).relu()).sigmoid()
        return x * gate


def _basis(channels: int, height: int, width: int) -> Tensor:
    """The product of two cosines for each channel: C×H×W."""
    part = torch.arange(channels) * len(TOP16) // channels
    u, v = torch.tensor(TOP16)[part].unbind(1)
    return _cosines(u, height).unsqueeze(2) * _cosines(v, width).unsqueeze(1)


def _cosines(frequency: Tensor, size: int) -> Tensor:
    """The orthonormal DCT-II vectors of these frequencies of a 7×7 map, for `size`: C×size."""
    scaled = (frequency * (size // SIDE)).unsqueeze(1)
    angle = torch.pi * scaled * (torch.arange(size) + 0.5) / size
    return angle.cos() * torch.where(scaled > 0, 2 / size, 1 / size).sqrt()
