"""What the papers print about ResNet-50 with their modules is what ours count.

The papers' strides give the papers' MACs; fvcore's total is for timm's strides.
"""

from typing import NamedTuple

import pytest
import resnet50
import torch
from fvcore.nn import FlopCountAnalysis

from attn_bench.registry import builtin


class Counts(NamedTuple):
    learnable: int
    with_statistics: str  # in millions
    macs: str  # convolutions and fc, the papers' strides, in 10⁹
    fvcore: str  # total, timm's strides, in 10⁹


EXPECTED = {
    None: Counts(25_557_032, "25.610", "3.8580", "4.1114"),
    "se": Counts(28_088_024, "28.141", "3.8605", "4.1139"),
    "ge_theta_minus": Counts(25_557_032, "25.610", "3.8580", "4.1114"),
    "ge_theta": Counts(31_106_600, "31.190", "3.8635", "4.1170"),
    "ge_theta_plus": Counts(33_637_592, "33.721", "3.8660", "4.1195"),
    "cbam": Counts(28_089_624, "28.143", "3.8644", "4.1178"),
}
every_model = pytest.mark.parametrize("name", EXPECTED)


def model(name, *, device="meta", **options):
    """The ResNet-50 with the built-in `name`; on "meta", without values, where none are needed."""
    build = None
    if name is not None:
        entry = builtin().get(name)
        extent = None if entry.extents is None else "global"

        def build(channels, feat_size):
            return entry.build(channels, feat_size, extent)

    with torch.device(device):
        return resnet50.with_attention(build, **options)


def fvcore_total(counted):
    analysis = FlopCountAnalysis(counted, torch.zeros(1, 3, 224, 224))
    return analysis.unsupported_ops_warnings(False).total()


@every_model
@pytest.mark.parametrize("papers_strides", [True, False])
def test_parameters(name, papers_strides):
    """The parameters are the papers' to the last one, wherever the stride is."""
    counted = model(name, papers_strides=papers_strides)
    with_statistics = resnet50.parameters(counted, running_statistics=True)
    assert resnet50.parameters(counted) == EXPECTED[name].learnable
    assert f"{with_statistics / 1e6:.3f}" == EXPECTED[name].with_statistics


@every_model
def test_macs_with_the_strides_of_the_papers(name):
    """Convolutions and the classifier make the multiply-accumulates that the papers print."""
    macs = resnet50.conv_and_fc_macs(model(name, papers_strides=True))
    assert f"{macs / 1e9:.4f}" == EXPECTED[name].macs


@every_model
def test_fvcore_with_the_strides_of_timm(name):
    """fvcore's total, which has BatchNorm in it and neither mean nor gate, is the one expected."""
    total = fvcore_total(model(name, papers_strides=False, device="cpu"))
    assert f"{total / 1e9:.4f}" == EXPECTED[name].fvcore


def test_the_head_as_timm_builds_it_has_a_mean_that_fvcore_counts():
    """With AdaptiveAvgPool2d for the same mean fvcore counts 7·7·2048 more: 4.1115 G."""
    plain, adaptive = (
        fvcore_total(model(None, papers_strides=False, device="cpu", global_pool=pool))
        for pool in ("fast", "avg")
    )
    assert adaptive - plain == 7 * 7 * 2048
    assert f"{adaptive / 1e9:.4f}" == "4.1115"
