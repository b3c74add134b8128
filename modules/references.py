"""Squeeze-and-Excitation and CBAM as published: timm's layers with the papers' arguments.

Source card: SE
  paper       Squeeze-and-Excitation Networks. Jie Hu, Li Shen, Samuel Albanie, Gang Sun, Enhua Wu.
              CVPR 2018. arXiv:1709.01507
  formula     y = x ⊙ σ(W₂ relu(W₁ mean(x)))
  left open   the biases of W₁ and W₂: the experiments on the reduction ratio leave them out, the
              released models have them. Chosen: with.
  timm        `SEModule` rounds the reduced width to a multiple of 8 by default; the paper does not.
  the same as `GatherExcite(channels)`, with other names for the weights.

Source card: CBAM
  paper       CBAM: Convolutional Block Attention Module. Sanghyun Woo, Jongchan Park,
              Joon-Young Lee, In So Kweon. ECCV 2018. arXiv:1807.06521
  formula     z = x ⊙ σ(mlp(mean_hw(x)) + mlp(max_hw(x)))
              y = z ⊙ σ(bn(conv7×7([mean_c(z), max_c(z)])))
  left open   biases of the MLP and what follows the 7×7. Chosen: as in the authors' code
              (github.com/Jongchan/attention-module) the MLP has biases, the 7×7 has none and is
              followed by a BatchNorm; this gives the paper's 28.09 M in ResNet-50.
  timm        `CbamModule` leaves the biases out by default; the 7×7 takes the two maps in the order
              above, the authors' code in the other.
"""

from __future__ import annotations

from timm.layers.cbam import CbamModule
from timm.layers.squeeze_excite import SEModule
from torch import nn


def se(channels: int, rd_ratio: float = 1 / 16, bias: bool = True) -> nn.Module:
    """Squeeze-and-Excitation, C·rd_ratio wide inside: N×C×H×W to the same."""
    module: nn.Module = SEModule(channels, rd_ratio=rd_ratio, rd_divisor=1, bias=bias)
    return module


def cbam(channels: int, rd_ratio: float = 1 / 16) -> nn.Module:
    """CBAM with the MLP's biases, C·rd_ratio wide inside: N×C×H×W to the same."""
    module: nn.Module = CbamModule(channels, rd_ratio=rd_ratio, rd_divisor=1, mlp_bias=True)
    return module
