"""The modules written from their papers: exact gradients, parameter counts, and what they equal."""

import pytest
import torch
from weights import randomised

from attn_bench.catalog.registry import builtin
from attn_bench.modules.cot import ContextualTransformer
from attn_bench.modules.danet import ChannelAttention, PositionAttention
from attn_bench.modules.ema import EfficientMultiScale
from attn_bench.modules.fcanet import TOP16, FrequencyChannelAttention
from attn_bench.modules.sge import SpatialGroupEnhance
from attn_bench.modules.shuffle import ShuffleAttention
from attn_bench.modules.srm import StyleRecalibration

# Learnable parameters at 256 channels, counted by hand from the formula.
COUNTS = {
    "a2": 4 * 256 * 64 + 3 * 64 + 256,
    "cot": 101 * 256**2 // 16 + 111 * 256 // 8,
    "danet_channel": 1,
    "danet_position": 2 * (256 * 32 + 32) + 256**2 + 256 + 1,
    "ema": 10 * 8**2 + 4 * 8,
    "fca": 2 * 256 * 16,
    "gam": 2 * 50 * 256 * 16 + 4 * (256 + 16),
    "polarized_parallel": 4 * 256 * 128 + 3 * 128 + 256 + 1 + 256 + 2 * 256,
    "polarized_sequential": 4 * 256 * 128 + 3 * 128 + 256 + 1 + 256 + 2 * 256,
    "sge": 2 * 64,
    "shuffle": 6 * 2,
    "srm": 4 * 256,
    "sse": 256**2 + 2 * 256,
}
every_module = pytest.mark.parametrize("name", COUNTS)


def build(name, channels, size):
    torch.manual_seed(0)
    return builtin().get(name).build(channels, size, None)


@every_module
def test_the_parameters_are_those_of_the_formula(name):
    """At 256 channels a module has the parameters that its formula has, for maps of any size."""
    for size in ((28, 28), (7, 5)):
        module = build(name, 256, size)
        assert sum(p.numel() for p in module.parameters()) == COUNTS[name]


@every_module
def test_the_gradients_are_exact(name):
    """In float64 every gradient of the input equals finite differences, element by element."""
    module = randomised(build(name, 16, (4, 3))).double().eval()
    x = torch.randn(2, 16, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(module, (x.requires_grad_(),), fast_mode=True)


@every_module
def test_a_constant_map_has_finite_gradients(name):
    """Maps of one value, as a fresh network's last norm can make, give no NaN."""
    module = build(name, 64, (4, 4)).train()
    x = torch.zeros(2, 64, 4, 4, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


@every_module
def test_odd_widths(name):
    """40 channels and maps of one element are accepted, as in a small mobile network."""
    module = build(name, 40, (1, 1)).eval()
    assert module(torch.randn(2, 40, 1, 1)).isfinite().all()


@pytest.mark.parametrize("layer", [PositionAttention, ChannelAttention])
def test_fresh_danet_is_the_identity(layer):
    """The scale of both modules starts at 0, as the paper says."""
    x = torch.randn(2, 64, 7, 7)
    torch.testing.assert_close(layer(64)(x), x)


def test_shuffle_attention_only_moves_and_scales_channels():
    """With open gates, shuffle attention is a permutation of the channels, each used once."""
    module = ShuffleAttention(16, groups=2)
    with torch.no_grad():
        module.channel_bias.fill_(100)
        module.position_bias.fill_(100)
    x = torch.arange(16.0).view(1, 16, 1, 1).expand(1, 16, 2, 2)
    moved = module(x)[0, :, 0, 0].tolist()
    assert moved == [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]


def test_the_first_frequency_of_fcanet_is_the_mean():
    """Channels of the frequency (0, 0) have √(H·W) times their mean as their coefficient."""
    module = FrequencyChannelAttention(32, (14, 14))
    x = torch.randn(2, 32, 14, 14)
    coefficients = (x * module.basis).sum((2, 3))
    torch.testing.assert_close(coefficients[:, :2], 14 * x[:, :2].mean((2, 3)))
    assert len(set(TOP16)) == 16


def test_fcanets_cosines_are_orthonormal():
    """The 16 cosines of a size that 7 divides are orthonormal."""
    basis = FrequencyChannelAttention(16, (28, 14)).basis.flatten(1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(16), atol=1e-5, rtol=0)


def test_the_mean_of_emas_normed_branch_is_its_bias():
    """The norm leaves a mean of its bias: one of EMA's two softmaxes is the same for all images."""
    module = randomised(EfficientMultiScale(64, groups=8))
    mean = module.norm(torch.randn(3, 8, 5, 7)).mean((2, 3))
    torch.testing.assert_close(mean, module.norm.bias.expand(3, 8), atol=1e-6, rtol=0)


def test_sge_and_srm_start_with_one_gate_for_all():
    """SGE's gate starts as σ(1) everywhere; SRM's as σ(0), whatever the input."""
    x = torch.randn(2, 64, 7, 7)
    gate = torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(SpatialGroupEnhance(64)(x), x * gate)
    torch.testing.assert_close(StyleRecalibration(64).eval()(x), x / 2)


def test_cot_mixes_two_contexts():
    """CoT's two shares add to 1: where both contexts are equal, the result is that context."""
    module = randomised(ContextualTransformer(16)).eval()
    shares = module.mix(torch.randn(2, 16, 1, 1)).unflatten(1, (-1, 2)).softmax(2)
    torch.testing.assert_close(shares.sum(2), torch.ones(2, 16, 1, 1))


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (ShuffleAttention, {"groups": 5}, "not a multiple of 10"),
        (SpatialGroupEnhance, {"groups": 5}, "not a multiple of the 5 groups"),
        (EfficientMultiScale, {"groups": 5}, "not a multiple of the 5 groups"),
    ],
)
def test_groups_that_do_not_fit_are_refused(layer, arguments, message):
    """A number of groups that does not divide the channels is refused with both numbers."""
    with pytest.raises(ValueError, match=message):
        layer(64, **arguments)


def test_cot_refuses_widths_that_it_cannot_share():
    """CoT shares its weights between 8 channels, so the width is a multiple of 8."""
    with pytest.raises(ValueError, match="CoT: 12 channels are not a multiple of 8"):
        ContextualTransformer(12)
