"""Modules that build and give a result, and break one rule of `verify` each."""

from unittest import mock

import torch
import torch.nn.functional as F
from timm.layers import create_conv2d
from timm.layers import gather_excite as timm_ge
from timm.layers.mlp import ConvMlp
from torch import nn

from attn_bench import register
from attn_bench.modules import GE_PROBES, GE_REFUSES


class Base(nn.Module):
    def __init__(self, channels):
        super().__init__()


def doubled(x, state):
    return 2 * x


@register("faultless", reference=doubled)
class Faultless(Base):
    def forward(self, x):
        return 2 * x


@register("depends_on_the_batch")
class DependsOnTheBatch(Base):
    def forward(self, x):
        return x - 0.01 * x.mean(0, keepdim=True)


@register("random_in_evaluation")
class RandomInEvaluation(Base):
    def forward(self, x):
        return x * (1 + 0.01 * torch.rand(1, x.shape[1], 1, 1).to(x))


@register("wider_dtype")
class WiderDtype(Base):
    def forward(self, x):
        return 2 * x.double() if x.dtype == torch.float64 else 2 * x.float()


@register("detached")
class Detached(Base):
    def forward(self, x):
        return x * x.detach().sigmoid()


@register("unused_weight")
class UnusedWeight(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return 2 * x


@register("branches_on_values")
class BranchesOnValues(Base):
    def forward(self, x):
        return x * 2 if x.mean() > 10 else x * 3


@register("reads_storage")
class ReadsStorage(Base):
    """Takes the values in the order in which they lie in memory."""

    def forward(self, x):
        _, c, h, w = x.shape
        return x * x.as_strided(x.shape, (c * h * w, h * w, w, 1)).sigmoid()


@register("forgets_a_weight")
class ForgetsAWeight(Base):
    """What it draws is not in its state dict."""

    def __init__(self, channels):
        super().__init__(channels)
        self.gain = torch.rand(1).item()

    def forward(self, x):
        return x * self.gain


@register("even_maps_only")
class EvenMapsOnly(Base):
    """Loses the last row and column of an odd map, and does not say so."""

    def forward(self, x):
        return F.interpolate(F.avg_pool2d(x, 2), scale_factor=2)


@register("another_formula", reference=doubled)
class AnotherFormula(Base):
    def forward(self, x):
        return 2.01 * x


@register("any_extent", extents="power_of_two")
class AnyExtent(Base):
    """Is registered for powers of two, and takes 6."""

    def __init__(self, channels, extent=2):
        super().__init__(channels)

    def forward(self, x):
        return 2 * x


def listing_ge(channels, feat_size=None, **options):
    """timm's own GatherExcite, buildable in versions that pass stray words by position, too."""

    def conv2d(channels, out_channels, *stray, **options):
        return create_conv2d(channels, out_channels, **options)

    def mlp(channels, rd_channels, *stray, **options):
        return ConvMlp(channels, rd_channels, **options)

    with mock.patch.multiple(timm_ge, create_conv2d=conv2d, ConvMlp=mlp):
        module = timm_ge.GatherExcite(channels, feat_size, **options)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):  # the stray words became its eps and momentum
            norm.eps, norm.momentum = 1e-5, 0.1
    return module


ge_rules = {
    "reference": "attn_bench.modules.formulas.gather_excite:gather_excite",
    "probes": GE_PROBES,
    "refuses": GE_REFUSES,
}
register("listing_ge", **ge_rules)(listing_ge)
register("our_ge", **ge_rules)("attn_bench.modules.gather_excite:GatherExcite")
