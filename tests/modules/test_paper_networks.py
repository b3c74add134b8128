"""Parameters of the networks in which a module replaces a convolution, or which timm does not have.

The networks that `run --suite papers` rebuilds are in `tests/papers`.
"""

from math import log2

import pytest
import timm
import torch
from timm.models.resnet import Bottleneck
from torch import nn

from attn_bench.modules.bam import BAM, PaperBAM
from attn_bench.modules.eca import ECA
from attn_bench.modules.lka import LKA
from attn_bench.modules.lska import LSKA
from attn_bench.modules.mca import MCA
from attn_bench.modules.pyramid_split import PyramidSplitAttention
from attn_bench.modules.scsa import SCSA
from attn_bench.modules.sk import SelectiveKernel

VAN = {  # widths, ratios of the MLPs, blocks of the four stages: the authors' code
    "B0": ((32, 64, 160, 256), (8, 8, 4, 4), (3, 3, 5, 2)),
    "B1": ((64, 128, 320, 512), (8, 8, 4, 4), (2, 2, 4, 2)),
    "B2": ((64, 128, 320, 512), (8, 8, 4, 4), (3, 3, 12, 3)),
    "B3": ((64, 128, 320, 512), (8, 8, 4, 4), (3, 5, 27, 3)),
}
STAGES = ((256, 3), (512, 4), (1024, 6), (2048, 3))  # of ResNet-50: channels, blocks


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def swapped(backbone, make, drop=()):
    """`backbone` with a module for each 3×3 convolution, and without its layers called `drop`."""
    with torch.device("meta"):
        network = timm.create_model(backbone)
        for block in network.modules():
            if isinstance(block, Bottleneck):
                old = block.conv2
                block.conv2 = make(old.in_channels, stride=old.stride[0])
                for name in drop:
                    setattr(block, name, nn.Identity())
    return network


def van_parameters(attention, widths, ratios, depths):
    """The parameters of VAN, layer by layer, with `attention` in its blocks."""
    total = 7 * 7 * 3 * widths[0] + 3 * widths[0]  # patches with bias, BatchNorm
    for before, width, ratio, depth in zip((0, *widths), widths, ratios, depths, strict=False):
        total += 9 * before * width + 3 * width if before else 0
        inside = width * ratio
        attend = 2 * (width * width + width) + parameters(attention(width))
        mlp = 2 * inside * width + inside + width + 10 * inside  # with a depthwise 3×3
        total += depth * (attend + mlp + 6 * width) + 2 * width  # two norms and two scales a block
    return total + 1000 * widths[-1] + 1000


@pytest.mark.parametrize(("backbone", "millions"), [("resnet50", "22.56"), ("resnet101", "38.90")])
def test_pyramid_split_for_the_3x3_is_epsanet_small(backbone, millions):
    """EPSANet-50 and -101 (small) have 22.56 M and 38.90 M, as their README prints."""
    network = swapped(backbone, PyramidSplitAttention)
    assert f"{parameters(network) / 1e6:.2f}" == millions


def test_selective_kernels_for_the_grouped_3x3_are_sknet_50():
    """ResNeXt-50 with SK for its grouped 3×3, norm and ReLU has the 27.5 M of SKNet-50."""
    network = swapped("resnext50_32x4d", SelectiveKernel, drop=("bn2", "act2"))
    assert f"{parameters(network) / 1e6:.1f}" == "27.5"


@pytest.mark.parametrize(
    ("size", "millions"), [("B0", "4.1"), ("B1", "13.9"), ("B2", "26.6"), ("B3", "44.8")]
)
def test_large_kernel_attention_in_van(size, millions):
    """VAN-B0 to B3 have 4.1, 13.9, 26.6 and 44.8 M, as the README prints."""
    assert f"{van_parameters(LKA, *VAN[size]) / 1e6:.1f}" == millions


def test_the_separable_form_of_large_kernel_attention_is_smaller():
    """A channel has 28 weights and biases in LSKA's strips, and 76 in LKA's two squares."""
    channels = 32
    mix = channels * channels + channels
    assert parameters(LKA(channels)) == 76 * channels + mix
    assert parameters(LSKA(channels)) == 28 * channels + mix


def test_scsa_has_sixteen_parameters_a_channel():
    """SCSA adds 16 C: 7 C of 1-d convolutions, 6 C of norms and 3 C of q, k and v."""
    for channels in (64, 128, 256, 512):
        assert parameters(SCSA(channels)) == 16 * channels


def test_the_kernels_grow_with_the_channels():
    """In ResNet-50, ECA has 5, 5, 5 and 7 taps, and MCA 5, 5, 5 and 7 along the channels."""
    assert [parameters(ECA(channels)) for channels, _ in STAGES] == [5, 5, 5, 7]
    assert [MCA(channels).gates[0].conv.kernel_size[0] for channels, _ in STAGES] == [5, 5, 5, 7]
    assert [(log2(channels) - 1) / 1.5 for channels, _ in STAGES][2] == 6  # even: one less


def test_both_forms_of_bam_print_the_same_parameters():
    """The norms of the paper's BAM and of its code differ by less than a digit of 25.92 M."""
    plain = 25_557_032
    for form in (BAM, PaperBAM):
        added = sum(parameters(form(channels)) for channels, _ in STAGES[:3])
        assert f"{(plain + added) / 1e6:.2f}" == "25.92"
