"""In inference, and only there, the CPU kernel also gathers, and agrees with the convolutions."""

import copy

import ge_random
import pytest
import torch
from ge_random import error
from test_ge_cpu import needs_kernel
from timm.layers import LayerNorm2d
from timm.layers.mlp import ConvMlp
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from weights import randomised

from attn_bench.modules import ge_cpu
from attn_bench.modules.gather_excite import GatherExcite, ge_theta, ge_theta_plus

pytestmark = needs_kernel
FORMS = {"theta": ge_theta, "theta_plus": ge_theta_plus}
every_form = pytest.mark.parametrize("form", FORMS)
every_extent = pytest.mark.parametrize("extent", [0, 2, 8])


def build(form, extent, channels=20, size=(11, 9), **options):
    return randomised(FORMS[form](channels, size, extent, **options)).eval()


@pytest.fixture
def gathers(monkeypatch):
    """The names of the called functions of the kernel that gather, in order."""
    names = []

    def spy(name, function):
        def called(*arguments):
            names.append(name)
            return function(*arguments)

        monkeypatch.setattr(ge_cpu, name, called)

    for name in ("gather", "gather_excite"):
        spy(name, getattr(ge_cpu, name))
    return names


# --- the arithmetic -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(16))
def test_it_agrees_with_the_oracle(seed, gathers):
    """On a random shape a learned form is within rounding of the oracle, and the kernel gathers."""
    ge_random.check_gather(seed)
    assert len(gathers) == 2


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "shape", [(1, 3, 300, 300), (2, 1100, 9, 9), (1, 1, 1, 3000), (5, 2, 3, 3)]
)
@pytest.mark.parametrize("extent", [0, 2, 16])
def test_maps_in_bands_and_channels_in_strips(shape, layout, extent):
    """Large maps, more channels than a strip holds, and fewer than threads give the same."""
    module = build("theta", extent, shape[1], shape[2:])
    plain = copy.deepcopy(module).double()
    plain.impl = "reference"
    x = torch.randn(shape).contiguous(memory_format=layout)
    with torch.inference_mode():
        assert error(module(x), plain(x.double())) < 1e-5


@every_form
@pytest.mark.parametrize("options", [{"norm_layer": None}, {"rd_channels": 3}])
@every_extent
def test_other_arguments_take_it_too(form, extent, options, gathers):
    """Without norms, and with an MLP of another width, the result is the operators'."""
    options = {"use_mlp": form == "theta_plus", **options}
    module = randomised(GatherExcite(8, (9, 9), True, extent, **options)).eval()
    plain = copy.deepcopy(module)
    plain.impl = "reference"
    x = torch.randn(2, 8, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(module(x), plain(x))
    assert len(gathers) == 1


@every_form
@every_extent
def test_inputs_that_are_views(form, extent):
    """Slices, transposes and expanded tensors give what their elements give."""
    big = torch.randn(3, 40, 20, 22)
    module, plain = (build(form, extent, impl=impl) for impl in ("auto", "reference"))
    with torch.inference_mode():
        for x in (
            big[:, ::2, 3:14, 2:20:2],
            big[:, :20, :9, :11].transpose(2, 3),
            big[:1, :20, :11, :9].expand(3, -1, -1, -1),
        ):
            torch.testing.assert_close(module(x), plain(x))


@every_form
@every_extent
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("width", [5, 32])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_reach_the_same_elements(form, extent, layout, width, value):
    """A NaN or an infinity reaches the same elements as with PyTorch's operators."""
    module, plain = (
        build(form, extent, 3, (32, width), impl=impl) for impl in ("kernel", "reference")
    )
    for place in [(0, 0), (31, width - 1), (13, 4)]:
        x = torch.randn(2, 3, 32, width)
        x[(0, 1, *place)] = value
        x = x.contiguous(memory_format=layout)
        with torch.inference_mode():
            torch.testing.assert_close(module(x), plain(x), equal_nan=True)


# --- where it is used -----------------------------------------------------------------------------


@every_form
@pytest.mark.parametrize("extent", [0, 2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [7, 16])
def test_in_inference_no_convolution_is_called(form, extent, dtype, layout, size, monkeypatch):
    """Neither inference mode, nor no_grad, nor frozen parameters call a convolution."""

    def refuse(*_):
        raise AssertionError("a convolution was called")

    is_small = size == 7 and dtype == torch.bfloat16  # "auto" calls the layers of some forms there
    module, plain = (
        build(form, extent, size=(size, size), impl=impl).to(dtype)
        for impl in ("kernel" if is_small else "auto", "reference")
    )
    if dtype == torch.bfloat16:
        module.mlp = nn.Identity()  # its convolutions stay in bfloat16
    x = torch.randn(2, 20, size, size).to(dtype, memory_format=layout)
    monkeypatch.setattr(nn.Conv2d, "forward", refuse)
    with pytest.raises(AssertionError, match="a convolution was called"):
        plain(x)
    with torch.inference_mode():
        module(x)
    with torch.no_grad():
        module(x)
    module.requires_grad_(False)(x)


def called_otherwise():
    """The cases that must call the layers: name, change to the module, context and input."""
    x = torch.randn(2, 20, 11, 9)
    yield "training", lambda m: m.train(), torch.no_grad(), x
    yield "parameters ask for gradients", lambda m: m, torch.enable_grad(), x
    yield "one norm in training", lambda m: m.gather.norm1.train(), torch.no_grad(), x
    yield (
        "the input asks for gradients",
        lambda m: m.requires_grad_(False),
        torch.enable_grad(),
        x.clone().requires_grad_(),
    )
    yield "float64", lambda m: m.double(), torch.no_grad(), x.double()
    yield "autocast", lambda m: m, torch.autocast("cpu", dtype=torch.bfloat16), x
    yield "a hook", lambda m: m.gather.conv1.register_forward_hook(print_not), torch.no_grad(), x
    yield "the reference", lambda m: setattr(m, "impl", "reference"), torch.no_grad(), x
    yield (
        "no running statistics",
        lambda m: setattr(m.gather, "norm1", nn.BatchNorm2d(20, track_running_stats=False)),
        torch.no_grad(),
        x,
    )
    yield "another norm", lambda m: setattr(m.gather, "norm1", LayerNorm2d(20)), torch.no_grad(), x
    yield (
        "another padding",
        lambda m: setattr(m.gather.conv1, "padding_mode", "circular"),
        torch.no_grad(),
        x,
    )


def print_not(*_):
    """A hook that does nothing."""


@every_form
@every_extent
@pytest.mark.parametrize("case", list(called_otherwise()), ids=lambda case: case[0])
def test_everything_else_calls_the_layers(form, extent, case, gathers):
    """Training, gradients, autocast, hooks, other norms and other types call the layers."""
    _, change, context, x = case
    module = build(form, extent)
    change(module)
    with context:
        assert module(x).shape == x.shape
    assert not gathers


@every_form
@every_extent
def test_small_maps_in_bfloat16_call_the_layers_that_are_faster(form, extent, gathers):
    """In bfloat16 at 7×7 in NCHW, all forms call the layers except GE-θ with an extent."""
    module, x = build(form, extent, size=(7, 7)), torch.randn(2, 20, 7, 7)
    with torch.no_grad():
        module(x)
        module.bfloat16()(x.bfloat16().contiguous(memory_format=torch.channels_last))
        assert len(gathers) == 2
        module(x.bfloat16())
    assert len(gathers) == (3 if form == "theta" and extent else 2)


@pytest.mark.parametrize("act", ["gelu", nn.Hardswish])
def test_another_activation_calls_the_layers(act, gathers):
    """The kernel supports only a ReLU between convolutions; a single one has nothing between."""
    for extent, expected in [(2, ["gather_excite"]), (4, [])]:
        module = GatherExcite(8, None, True, extent, use_mlp=False, act_layer=act).eval()
        gathers.clear()
        with torch.no_grad():
            module(torch.randn(1, 8, 9, 9))
        assert gathers == expected


@every_form
@every_extent
def test_the_counter_of_flops_counts_what_it_did(form, extent):
    """PyTorch's FlopCounterMode counts the convolutions, whatever `impl` is."""
    counts = []
    for impl in ("auto", "reference"):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            build(form, extent, impl=impl)(torch.randn(2, 20, 11, 9))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@every_form
@every_extent
def test_a_map_of_another_size_is_refused(form, extent):
    """The kernel refuses the maps that the layers refuse, with their message."""
    module = build(form, extent)
    with torch.inference_mode():
        with pytest.raises((ValueError, RuntimeError)):
            module(torch.randn(2, 19, 11, 9))
        if not extent:
            with pytest.raises(ValueError, match=r"11×10, built for 11×9"):
                module(torch.randn(2, 20, 11, 10))


@every_extent
def test_frozen_gathers_before_an_mlp_that_learns(extent, gathers):
    """With a frozen gather, the gradients by the MLP's weights are those of the operators."""
    x, found = torch.randn(2, 20, 11, 9), []
    for impl in ("auto", "reference"):
        module = build("theta_plus", extent, impl=impl)
        module.gather.requires_grad_(False)
        found.append(torch.autograd.grad(module(x).square().sum(), list(module.mlp.parameters())))
    assert gathers == ["gather"]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@every_form
@every_extent
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_compiled_without_gradients(form, extent, layout):
    """torch.compile makes one graph, which contains the kernel's operator."""
    torch.compiler.reset()
    module = build(form, extent).requires_grad_(False)
    graphs = []

    def keep(graph, _):
        graphs.append(str(graph.graph))
        return graph

    x = torch.randn(2, 20, 11, 9).contiguous(memory_format=layout)
    compiled = torch.compile(module, backend=keep, fullgraph=True)
    torch.testing.assert_close(compiled(x), module(x))
    assert len(graphs) == 1
    assert ge_cpu.NAMESPACE in graphs[0]
    assert "conv2d" not in graphs[0]
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), module(x))


@pytest.mark.parametrize("name", ["conv1.weight", "norm1.running_var", "norm2.bias"])
def test_a_changed_weight_is_seen(name):
    """A weight changed in place changes the next output."""
    module, x = build("theta", 4), torch.randn(1, 20, 11, 9)
    with torch.inference_mode():
        before = module(x)
        module.gather.state_dict()[name].add_(1)
        assert not torch.equal(module(x), before)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_products_of_the_mlp(size, layout, dtype):
    """They agree with the convolutions; a hook or a norm makes the layers be called."""
    mlp = randomised(ConvMlp(24, 3)).to(dtype).eval()
    context = torch.randn(2, 24, *size).to(dtype, memory_format=layout)
    torch.testing.assert_close(ge_cpu.mlp(mlp, context), mlp(context), atol=0.05, rtol=0.02)
    called = []
    mlp.fc2.register_forward_hook(lambda *_: called.append(1))
    ge_cpu.mlp(mlp, context)
    ge_cpu.mlp(ConvMlp(24, 3, norm_layer=nn.BatchNorm2d).eval().to(dtype), context)
    assert called == [1]


# --- training ------------------------------------------------------------------------------------


@every_form
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(7, 7), (16, 9)])
def test_training_a_global_gather_takes_products_and_sums(form, layout, size, monkeypatch):
    """Output and gradients are those of the convolution, which is slow and not called."""
    x, found = torch.randn(4, 20, *size), []
    for impl in ("reference", "auto"):
        module = build(form, 0, size=size, impl=impl).train()
        leaf = x.contiguous(memory_format=layout).requires_grad_()
        if impl == "auto":
            monkeypatch.setattr(module.gather.conv1, "forward", None)
        y = module(leaf)
        found.append([y, *torch.autograd.grad(y.square().sum(), [leaf, *module.parameters()])])
        found[-1] += [value.clone() for value in module.gather.buffers()]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_training_a_global_gather_in_other_types_takes_the_convolution(dtype, monkeypatch):
    """Training in bfloat16 and float64 calls the convolution."""
    module = build("theta", 0).train().to(dtype)
    called = []
    monkeypatch.setattr(
        module.gather.conv1, "forward", lambda x: called.append(x) or x[:, :, :1, :1]
    )
    module(torch.randn(2, 20, 11, 9).to(dtype))
    assert len(called) == 1
