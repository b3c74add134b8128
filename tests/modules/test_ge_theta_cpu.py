"""GE-θ and GE-θ⁺ gather in the kernel in inference, and compute what the operators do."""

import copy
import random

import pytest
import torch
from torch import nn

from attn_bench.modules import ge_cpu
from attn_bench.modules.gather_excite import GatherExcite, ge_theta, ge_theta_plus

pytestmark = pytest.mark.skipif(not ge_cpu.is_available(), reason="no compiler with OpenMP")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def drawn(make, channels, size, extent):
    """In evaluation, with a norm whose scale, shift and statistics all count."""
    module = make(channels, size, extent)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return module.eval()


def counted(monkeypatch):
    """The calls of the kernel's gathers."""
    calls = []
    for name in ("gather", "gather_excite"):
        real = getattr(ge_cpu, name)

        def spy(x, steps, extent, real=real):
            calls.append(extent)
            return real(x, steps, extent)

        monkeypatch.setattr(ge_cpu, name, spy)
    return calls


@pytest.mark.parametrize("seed", range(10))
def test_over_500_random_shapes(seed, monkeypatch):
    """Within float32 rounding (1e-5), and bfloat16's (1e-2), of the operators in float64, run to
    run equal bit for bit, by the kernel's gather: 50 shapes, extents, layouts for each seed."""
    rng, calls = random.Random(seed), counted(monkeypatch)
    torch.manual_seed(seed)
    for _ in range(50):
        batch, channels = rng.randint(1, 3), rng.randint(1, 40)
        size = rng.choice([1, 2, 3, rng.randint(4, 60)]), rng.choice([1, 7, rng.randint(2, 60)])
        extent = rng.choice([0, 2, 4, 8, 16])
        make = rng.choice([ge_theta, ge_theta_plus])
        dtype = rng.choice([torch.float32, torch.bfloat16])
        layout = rng.choice([torch.contiguous_format, torch.channels_last])
        module = drawn(make, channels, size, extent).to(dtype)
        exact = copy.deepcopy(module).double()
        exact.impl = "reference"
        x = torch.randn(batch, channels, *size).to(dtype, memory_format=layout)
        with torch.inference_mode():
            found, again, expected = module(x), module(x), exact(x.double())
        case = (make.__name__, tuple(x.shape), extent, dtype, layout)
        assert found.dtype == dtype
        assert torch.equal(found, again), case
        apart = float((found.double() - expected).abs().max())
        assert apart <= TOLERANCE[dtype] * float(expected.abs().max()), case
    assert len(calls) == 100


@pytest.mark.parametrize("make", [ge_theta, ge_theta_plus])
@pytest.mark.parametrize("extent", [0, 4])
def test_where_the_layers_are_called(make, extent, monkeypatch):
    """In training, where a gradient is wanted, with a hook, another norm or the operators asked
    for, the gather's own layers compute, and the result is the same."""
    calls = counted(monkeypatch)
    module, x = drawn(make, 6, (9, 11), extent), torch.randn(2, 6, 9, 11)
    with torch.no_grad():
        expected = module(x)
    assert len(calls) == 1
    torch.testing.assert_close(module(x), expected)  # its parameters want gradients
    hooked = copy.deepcopy(module)
    seen = []
    hooked.gather[0].register_forward_hook(lambda *given: seen.append(1))
    plain = copy.deepcopy(module)
    plain.impl = "reference"
    for other in (hooked, plain):
        with torch.no_grad():
            torch.testing.assert_close(other(x), expected)
    assert seen
    with torch.no_grad():
        copy.deepcopy(module).train()(x)
        GatherExcite(
            32, (9, 11), extra_params=True, extent=extent, norm_layer="groupnorm", use_mlp=False
        )(torch.randn(2, 32, 9, 11))
        with torch.autocast("cpu", torch.bfloat16):
            module(x)
    assert len(calls) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number(value):
    """A NaN or an infinity in the map does what it does to PyTorch's operators, and no more."""
    module = drawn(ge_theta, 1, (32, 32), 4)
    plain = copy.deepcopy(module)
    plain.impl = "reference"
    x = torch.ones(1, 1, 32, 32)
    x[0, 0, 0, 0] = value
    with torch.no_grad():
        torch.testing.assert_close(module(x), plain(x), equal_nan=True)
