"""Polarized self-attention: a channel branch and a spatial branch, side by side or in a row.

Source card
  paper       Polarized Self-Attention: Towards High-quality Pixel-wise Regression. Huajun Liu,
              Fuqiang Liu, Xinyi Fan, Dong Huang. 2021. arXiv:2107.00782
  code        github.com/DeLightCMU/PSA, Apache-2.0
  formula     ch(x) = x ⊙ σ(ln(W_z Σ_i softmax_i(W_q x)_i (W_v x)_i)), W_v: C/2 channels, W_q: one
              sp(x) = x ⊙ σ(Σ_c softmax_c(mean(W_q' x))_c (W_v' x)_c), both: C/2 channels
              parallel: y = ch(x) + sp(x); sequential: y = sp(ch(x))
  place       after the first 3×3 of a basic block, or the 3×3 of a bottleneck
  left open   - The norm. The equations have none. Chosen: a LayerNorm over the channels, which the
                paper's figure is quoted to have. The authors' code has none in the parallel form,
                and in the sequential form two convolutions with a LayerNorm and ReLU between.
              - The softmax of sp. The authors' code takes it over the positions. Chosen: the
                paper's.
              - Biases. Chosen: with biases.
"""

from __future__ import annotations

from torch import Tensor, nn


class PolarizedParallel(nn.Module):
    """y = ch(x) + sp(x): N×C×H×W to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel, self.spatial = ChannelGate(channels), SpatialGate(channels)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * (self.channel(x) + self.spatial(x))
        return gated


class PolarizedSequential(nn.Module):
    """y = sp(ch(x)): N×C×H×W to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel, self.spatial = ChannelGate(channels), SpatialGate(channels)

    def forward(self, x: Tensor) -> Tensor:
        by_channel: Tensor = x * self.channel(x)
        gated: Tensor = by_channel * self.spatial(by_channel)
        return gated


class ChannelGate(nn.Module):
    """σ(ln(W_z (W_v x) softmax(W_q x))): N×C×H×W to N×C×1×1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(1, channels // 2)
        self.value = nn.Conv2d(channels, width, 1)
        self.query = nn.Conv2d(channels, 1, 1)
        self.expand = nn.Linear(width, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        shares = self.query(x).flatten(2).softmax(dim=2)  # N×1×H·W
        pooled = self.value(x).flatten(2) @ shares.transpose(1, 2)  # N×C/2×1
        gate: Tensor = self.norm(self.expand(pooled.squeeze(2))).sigmoid()  # N×C
        return gate[:, :, None, None]


class SpatialGate(nn.Module):
    """σ(softmax(mean(W_q x)) (W_v x)): N×C×H×W to N×1×H×W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(1, channels // 2)
        self.value = nn.Conv2d(channels, width, 1)
        self.query = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        # The mean of a 1×1 convolution is the 1×1 convolution of the mean.
        query = self.query(x.mean(dim=(2, 3), keepdim=True))  # N×C/2×1×1
        shares = query.flatten(1).softmax(dim=1).unsqueeze(1)  # N×1×C/2
        scores: Tensor = shares @ self.value(x).flatten(2)  # N×1×H·W
        return scores.sigmoid().view(x.shape[0], 1, *x.shape[2:])
