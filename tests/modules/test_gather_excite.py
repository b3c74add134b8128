"""Gather-Excite compared with its oracle and with timm, and in every way it can be used."""

import copy
import math
import re

import ge_oracle
import pytest
import timm.layers.gather_excite as timm_ge
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import GroupNorm, LayerNorm2d, create_conv2d
from timm.layers.mlp import ConvMlp
from torch import nn
from weights import randomised

from attn_bench.modules.gather_excite import (
    GatherExcite,
    ge_theta,
    ge_theta_minus,
    ge_theta_plus,
)
from attn_bench.modules.references import se

FORMS = {"theta_minus": ge_theta_minus, "theta": ge_theta, "theta_plus": ge_theta_plus}
every_form = pytest.mark.parametrize("form", FORMS)
every_extent = pytest.mark.parametrize("extent", [0, 2, 4])

CHANNELS, HEIGHT, WIDTH = 24, 10, 7  # channels not a multiple of 16, an odd side


def build(form, extent, channels=CHANNELS, feat_size=(HEIGHT, WIDTH)):
    return randomised(FORMS[form](channels, feat_size, extent)).eval()


def maps(*shape, seed=1, dtype=torch.float32):
    shape = shape or (2, CHANNELS, HEIGHT, WIDTH)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- the arithmetic -------------------------------------------------------------------------------


@st.composite
def oracle_cases(draw):
    form = draw(st.sampled_from(sorted(FORMS)))
    extents = st.integers(2, 9) if form == "theta_minus" else st.sampled_from([2, 4, 8])
    shape = tuple(draw(st.integers(*bounds)) for bounds in [(2, 3), (1, 20), (1, 17), (1, 17)])
    return form, draw(st.just(0) | extents), shape, draw(st.booleans()), draw(st.integers(0, 99))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(oracle_cases())
def test_every_form_agrees_with_the_oracle(case):
    """The output is the oracle's, for any channels, any size of map, any extent, in both modes."""
    form, extent, shape, training, seed = case
    module = randomised(FORMS[form](shape[1], shape[2:], extent), seed).double().train(training)
    x = maps(*shape, seed=seed, dtype=torch.float64)
    state = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    expected = ge_oracle.gather_excite(x.numpy(), state, form, extent, training=training)
    torch.testing.assert_close(module(x), torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


@every_form
@every_extent
def test_gradients_are_those_of_finite_differences(form, extent):
    """The gradients by the input and by every parameter pass torch's gradcheck in float64."""
    module = build(form, extent, channels=3, feat_size=(5, 4)).double().train()
    names = [name for name, _ in module.named_parameters()]
    buffers = dict(module.named_buffers())

    def forward(x, *parameters):
        state = {name: buffer.clone() for name, buffer in buffers.items()}
        state.update(zip(names, parameters, strict=True))
        return torch.func.functional_call(module, state, (x,))

    x = maps(2, 3, 5, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(forward, (x, *module.parameters()))


@pytest.mark.parametrize(("size", "extent"), [(56, 2), (56, 8), (7, 4), (5, 8), (1, 2), (13, 3)])
@pytest.mark.parametrize("extra_params", [False, True])
def test_the_context_has_a_position_per_extent(size, extent, extra_params):
    """The gathered map is ⌈H/e⌉×⌈W/e⌉, whether pooled or learned."""
    if extra_params:
        extent = 1 << (extent.bit_length() - 1)
    module = GatherExcite(4, extra_params=extra_params, extent=extent)
    side = math.ceil(size / extent)
    assert module.gather(maps(2, 4, size, size)).shape == (2, 4, side, side)


def test_the_global_learned_gather_is_one_number_a_channel():
    """At 56×56 the context is 1×1 and its convolution makes H·W multiplications a channel."""
    module = ge_theta(8, (56, 56))
    assert module.gather(maps(2, 8, 56, 56)).shape == (2, 8, 1, 1)
    assert module.gather.conv1.weight.numel() == 8 * 56 * 56


def test_the_default_arguments_are_squeeze_and_excitation():
    """GatherExcite(channels) gives the same as SE with ratio 16 and biases."""
    ours, reference = randomised(GatherExcite(CHANNELS)), se(CHANNELS)
    reference.load_state_dict({k.removeprefix("mlp."): v for k, v in ours.state_dict().items()})
    torch.testing.assert_close(ours(maps()), reference(maps()))


@pytest.mark.parametrize("extent", [0, 3, 4])
def test_channels_permute_together(extent):
    """GE-θ⁻ treats every channel by itself: permuting its input permutes its output."""
    x, order = maps(), torch.randperm(CHANNELS, generator=torch.Generator().manual_seed(3))
    module = ge_theta_minus(CHANNELS, extent=extent)
    torch.testing.assert_close(module(x[:, order]), module(x)[:, order])


# --- timm -----------------------------------------------------------------------------------------


@pytest.fixture
def timm_gather_excite(monkeypatch):
    """timm's class, buildable: newer versions pass stray words ("device", "dtype") by position."""

    def conv2d(channels, out_channels, *stray, **options):
        return create_conv2d(channels, out_channels, **options)

    def mlp(channels, rd_channels, *stray, **options):
        return ConvMlp(channels, rd_channels, **options)

    def create(*args, **options):
        module = timm_ge.GatherExcite(*args, **options)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):  # the stray words became its eps and momentum
                norm.eps, norm.momentum = 1e-5, 0.1
        return module

    monkeypatch.setattr(timm_ge, "create_conv2d", conv2d)
    monkeypatch.setattr(timm_ge, "ConvMlp", mlp)
    return create


@pytest.mark.parametrize("add_maxpool", [False, True])
@pytest.mark.parametrize(
    ("extent", "size"), [(0, (9, 8)), (2, (9, 8)), (4, (14, 14)), (6, (13, 5)), (8, (122, 7))]
)
def test_the_form_without_parameters_agrees_with_timm(extent, size, add_maxpool):
    """The output is that of timm's class, also at 122 with extent 8, where indices are rounded."""
    options = {"extent": extent, "use_mlp": False, "add_maxpool": add_maxpool}
    x = maps(2, 5, *size)
    torch.testing.assert_close(GatherExcite(5, **options)(x), timm_ge.GatherExcite(5, **options)(x))


@pytest.mark.parametrize("use_mlp", [False, True])
@pytest.mark.parametrize("extent", [2, 4, 8])
@pytest.mark.parametrize("extra_params", [False, True])
def test_timm_weights_give_timm_outputs(timm_gather_excite, extra_params, extent, use_mlp):
    """A module with timm's weights gives the same as timm's class."""
    options = {"extra_params": extra_params, "extent": extent, "use_mlp": use_mlp}
    theirs = randomised(timm_gather_excite(CHANNELS, **options)).eval()
    ours = GatherExcite(CHANNELS, **options).eval()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(maps()), theirs(maps()))


@pytest.mark.parametrize("channels", [8, 24, 64])
@pytest.mark.parametrize("extent", [0, 2, 8])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_mlp": False},
        {"extra_params": True},
        {"extra_params": True, "use_mlp": False},
        {"extra_params": True, "norm_layer": None},
        {"extra_params": True, "rd_ratio": 0.25, "rd_divisor": 8},
        {"rd_channels": 5},
    ],
)
def test_state_dicts_go_both_ways(timm_gather_excite, channels, extent, options):
    """timm's checkpoint loads strictly, in the same order and shapes, and ours loads into timm."""
    theirs = timm_gather_excite(channels, feat_size=(6, 5), extent=extent, **options)
    ours = GatherExcite(channels, feat_size=(6, 5), extent=extent, **options)
    shapes = [(name, tensor.shape) for name, tensor in theirs.state_dict().items()]
    assert [(name, tensor.shape) for name, tensor in ours.state_dict().items()] == shapes
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)


def test_the_plus_form_has_the_keys_of_timm(timm_gather_excite):
    """The ReLU of GE-θ⁺ has no weights: a timm checkpoint loads into the named form."""
    theirs = timm_gather_excite(CHANNELS, feat_size=(10, 7), extra_params=True)
    ge_theta_plus(CHANNELS, (10, 7)).load_state_dict(theirs.state_dict(), strict=True)


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extent", "extra_params", "nearest"),
    [
        (1, False, "2, or 0 for the global"),
        (-4, False, "2, or 0 for the global"),
        (1, True, "2, or 0 for the global"),
        (-2, True, "2, or 0 for the global"),
        (3, True, "2 or 4?"),
        (6, True, "4 or 8?"),
        (10, True, "8 or 16?"),
        (12, True, "8 or 16?"),
    ],
)
def test_an_extent_that_cannot_be_built_is_refused(extent, extra_params, nearest):
    """The message is one line that names the extent and the nearest ones that can be built."""
    with pytest.raises(ValueError, match=re.escape(nearest)) as refusal:
        GatherExcite(CHANNELS, (8, 8), extra_params, extent)
    assert f"extent {extent} is" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_global_learned_gather_needs_the_size_of_the_maps():
    """Without feat_size it is refused when built, in a line that names the argument."""
    with pytest.raises(ValueError, match=r"feat_size=\(height, width\)"):
        ge_theta(CHANNELS)


def test_a_map_of_another_size_is_refused():
    """A global learned gather names both sizes, and the argument that would fit."""
    with pytest.raises(ValueError, match=r"14×7, built for 7×7 \(feat_size=\(14, 7\)\?\)"):
        ge_theta(CHANNELS, (7, 7))(maps(2, CHANNELS, 14, 7))


@pytest.mark.parametrize(
    ("norm_layer", "kind"),
    [
        (nn.SyncBatchNorm, nn.SyncBatchNorm),
        ("layernorm2d", LayerNorm2d),
        ("groupnorm", GroupNorm),
        (lambda channels: nn.GroupNorm(4, channels), nn.GroupNorm),
    ],
)
@pytest.mark.parametrize("extent", [0, 4])
def test_norm_layer_is_respected(norm_layer, kind, extent):
    """norm_layer can be a class, a name of timm's, or a function."""
    module = GatherExcite(32, (8, 8), extra_params=True, extent=extent, norm_layer=norm_layer)
    norms = [child for name, child in module.gather.named_children() if name.startswith("norm")]
    assert [type(norm) for norm in norms] == [kind] * (2 if extent else 1)


@pytest.mark.parametrize("extent", [0, 4])
def test_no_norm_layer_is_no_norm(extent):
    """With norm_layer=None there are convolutions only, and no norms in the state dict."""
    module = GatherExcite(CHANNELS, (HEIGHT, WIDTH), True, extent, norm_layer=None)
    assert not [name for name in module.state_dict() if "norm" in name]
    assert module(maps()).shape == maps().shape


def test_activations_can_be_named():
    """act_layer and gate_layer accept timm's names, and the module uses these layers."""
    by_name = GatherExcite(CHANNELS, act_layer="gelu_tanh", gate_layer="hard_sigmoid")
    assert type(by_name.mlp.act).__name__ == "GELUTanh"
    assert isinstance(by_name.gate, nn.Hardsigmoid)
    assert by_name(maps()).shape == maps().shape


def test_device_and_dtype_are_those_of_the_parameters():
    """Every floating point tensor has the given device and dtype; counters stay integers."""
    module = GatherExcite(8, extra_params=True, extent=2, device="meta", dtype=torch.bfloat16)
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
    assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
    assert module.gather.norm1.num_batches_tracked.dtype == torch.int64


# --- uses -----------------------------------------------------------------------------------------


@every_form
@every_extent
def test_the_input_is_left_as_it_was(form, extent):
    """Neither forward nor backward writes to the input."""
    x = maps().requires_grad_()
    build(form, extent).train()(x).sum().backward()
    assert torch.equal(x, maps())
    assert x._version == 0


@every_form
@every_extent
def test_a_deep_copy_is_a_module_of_its_own(form, extent):
    """A copy gives the same, also after the weights of the original change."""
    module = build(form, extent)
    expected, twin = module(maps()), copy.deepcopy(module)
    randomised(module, seed=5)
    assert torch.equal(twin(maps()), expected)


@every_form
@every_extent
def test_export_keeps_the_result(form, extent):
    """torch.export, with a batch of any size, gives the same as the module."""
    module = build(form, extent)
    exported = torch.export.export(
        module, (maps(),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    ).module()
    for x in (maps(), maps(5, CHANNELS, HEIGHT, WIDTH)):
        torch.testing.assert_close(exported(x), module(x))


@every_form
@every_extent
def test_compile_keeps_the_result(form, extent):
    """torch.compile makes one graph of the module, which gives the same."""
    torch.compiler.reset()
    module = build(form, extent)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(maps()), module(maps()))


@every_form
@every_extent
def test_bfloat16_stays_bfloat16(form, extent):
    """In bfloat16 the output is bfloat16, and close to that in float32."""
    module = build(form, extent)
    expected = module(maps())
    got = module.bfloat16()(maps().bfloat16())
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.05)


@every_form
@every_extent
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_keeps_the_dtype(form, extent, dtype):
    """Under autocast the output has the input's dtype and is close to that in float32."""
    module = build(form, extent)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = module(maps().to(dtype))
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), module(maps()), rtol=0.05, atol=0.05)


@every_form
@every_extent
def test_channels_last_stays_channels_last(form, extent):
    """The memory format of the input is that of the output, and changes no value."""
    module = build(form, extent)
    got = module(maps().contiguous(memory_format=torch.channels_last))
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got.contiguous(), module(maps()))
