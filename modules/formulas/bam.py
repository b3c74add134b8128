"""BAM in the paper's form and in its authors' code, arXiv:1807.06514."""

from __future__ import annotations

from torch import Tensor

from .parts import State, batch_norm
from .taps import conv


def bam(x: Tensor, state: State, dilation: int = 4) -> Tensor:
    """x ⊙ (1 + σ(Mc(x) · Ms(x))): norm and ReLU after all convolutions but a branch's last one."""
    channel = x.mean((2, 3), keepdim=True)
    channel = batch_norm(conv(channel, state, "channel.1"), state, "channel.2").relu()
    channel = conv(channel, state, "channel.4")
    spatial = x
    for i, spread in ((0, 1), (3, dilation), (6, dilation)):
        spatial = conv(spatial, state, f"spatial.{i}", spread)
        spatial = batch_norm(spatial, state, f"spatial.{i + 1}").relu()
    return x + x * (channel * conv(spatial, state, "spatial.9")).sigmoid()


def bam_paper(x: Tensor, state: State, dilation: int = 4) -> Tensor:
    """x ⊙ (1 + σ(Mc(x) + Ms(x))): one norm at the end of each branch, ReLU between."""
    channel = x.mean((2, 3), keepdim=True)
    channel = conv(conv(channel, state, "channel.1").relu(), state, "channel.3")
    spatial = conv(x, state, "spatial.0").relu()
    spatial = conv(spatial, state, "spatial.2", dilation).relu()
    spatial = conv(spatial, state, "spatial.4", dilation).relu()
    spatial = batch_norm(conv(spatial, state, "spatial.6"), state, "spatial.7")
    return x + x * (batch_norm(channel, state, "channel.4") + spatial).sigmoid()
