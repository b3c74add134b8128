"""SE, CBAM, GCNet's block and coordinate attention as published: timm's layers, papers' arguments.

Source card: SE
  paper       Squeeze-and-Excitation Networks. Jie Hu, Li Shen, Samuel Albanie, Gang Sun, Enhua Wu.
              CVPR 2018. arXiv:1709.01507
  formula     y = x ⊙ σ(W₂ relu(W₁ mean(x)))
  left open   the biases of W₁ and W₂. The experiments on the reduction ratio omit them, the
              released models have them. Chosen: with biases.
  timm        `SEModule` rounds the reduced width to a multiple of 8 by default; the paper does not.
  equal       to `GatherExcite(channels)`, whose weights have other names.

Source card: CBAM
  paper       CBAM: Convolutional Block Attention Module. Sanghyun Woo, Jongchan Park,
              Joon-Young Lee, In So Kweon. ECCV 2018. arXiv:1807.06521
  formula     z = x ⊙ σ(mlp(mean_hw(x)) + mlp(max_hw(x)))
              y = z ⊙ σ(bn(conv7×7([mean_c(z), max_c(z)])))
  left open   the biases of the MLP, and what follows the 7×7. Chosen: as in the authors' code
              (github.com/Jongchan/attention-module), the MLP has biases. The 7×7 has no bias, and a
              BatchNorm follows it. This gives the paper's 28.09 M in ResNet-50.
  timm        `CbamModule` has no biases by default. Its 7×7 takes the two maps in the order above,
              the authors' code in the opposite order.

Source card: GC
  paper       GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond. Yue Cao,
              Jiarui Xu, Stephen Lin, Fangyun Wei, Han Hu. ICCV Workshops 2019. arXiv:1904.11492
  formula     y = x + W₂ relu(ln(W₁ Σ_hw softmax(w·x)_hw x_hw)), equation 7
  place       stages 2 to 4 (c3 to c5), in every block after the last 1×1
  left open   the biases. Chosen: with biases, as in the authors' code: 28.08 M in ResNet-50.
  timm        `GlobalContext` multiplies by default, with ratio 1/8. The paper adds, with 1/16.

Source card: coordinate attention
  paper       Coordinate Attention for Efficient Mobile Network Design. Qibin Hou, Daquan Zhou,
              Jiashi Feng. CVPR 2021. arXiv:2103.02907
  formula     y = x ⊙ σ(F_h(f_h)) ⊙ σ(F_w(f_w)), [f_h, f_w] = δ(bn(F₁([mean_w(x), mean_h(x)]))),
              equations 4 to 8; δ is hard swish
  place       MobileNetV2: after the depthwise 3×3 of every block that expands (`inner 2-7`)
  left open   nothing. From the authors' code (github.com/houqb/CoordAttention): F₁ is C/32 wide and
              at least 8, and the three 1×1 have biases.
  timm        By default `CoordAttn` is C/24 wide and has no biases.
"""

from __future__ import annotations

from timm.layers.cbam import CbamModule
from timm.layers.create_attn import create_attn
from timm.layers.global_context import GlobalContext
from timm.layers.squeeze_excite import SEModule
from torch import nn


def se(channels: int, rd_ratio: float = 1 / 16, bias: bool = True) -> nn.Module:
    """Squeeze-and-Excitation, C·rd_ratio wide inside: N×C×H×W to the same."""
    module: nn.Module = SEModule(channels, rd_ratio=rd_ratio, rd_divisor=1, bias=bias)
    return module


def cbam(channels: int, rd_ratio: float = 1 / 16, bias: bool = True) -> nn.Module:
    """CBAM, its MLP C·rd_ratio wide inside: N×C×H×W to the same."""
    module: nn.Module = CbamModule(channels, rd_ratio=rd_ratio, rd_divisor=1, mlp_bias=bias)
    return module


def gc(channels: int, rd_ratio: float = 1 / 16) -> nn.Module:
    """GCNet's block, C·rd_ratio wide inside: N×C×H×W to the same."""
    module: nn.Module = GlobalContext(channels, rd_ratio=rd_ratio, fuse_add=True, fuse_scale=False)
    return module


def coord(channels: int, rd_ratio: float = 1 / 32) -> nn.Module:
    """Coordinate attention, C·rd_ratio wide inside and at least 8: N×C×H×W to the same.

    Before timm 1.0.23, which adds this layer, it raises what timm raises for an unknown name.
    """
    width = max(8, int(channels * rd_ratio))
    module: nn.Module = create_attn("coord", channels, rd_channels=width, bias=True)
    return module
