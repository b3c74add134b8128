"""The kernel computes what the operators do, whatever the shape, and is not needed."""

import copy
import os
import random
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from attn_bench.modules import ge_cpu
from attn_bench.modules.gather_excite import GatherExcite, ge_theta, ge_theta_minus

needs_kernel = pytest.mark.skipif(not ge_cpu.is_available(), reason="no compiler with OpenMP")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def reference(x, logits, extent):
    """In float64, by PyTorch's operators; only the choice of the nearest gate is shared."""
    if logits is None and extent:
        logits = F.avg_pool2d(x, 2 * extent - 1, extent, extent - 1, count_include_pad=False)
    elif logits is None:
        logits = x.mean((2, 3), keepdim=True)
    height, width = x.shape[-2:]
    rows, columns = ge_cpu._sources(height, width, extent or max(height, width))
    return x * logits.sigmoid()[:, :, rows.long()][:, :, :, columns.long()]


def error(found, expected):
    found, expected = found.detach().double(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


@needs_kernel
@pytest.mark.parametrize("seed", range(10))
def test_forward_and_gradients_over_500_random_shapes(seed):
    """Within float32 rounding (1e-5), and bfloat16's (1e-2), of a float64 reference, run to run
    equal bit for bit: 50 shapes, extents and layouts for each of ten seeds."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    for _ in range(50):
        shape = rng.randint(1, 3), rng.randint(1, 40), rng.randint(1, 70), rng.randint(1, 70)
        extent = rng.choice([0, 2, 3, 4, 5, 7, 8, 16])
        dtype = rng.choice([torch.float32, torch.bfloat16])
        layout = rng.choice([torch.contiguous_format, torch.channels_last])
        x, gradient = (torch.randn(shape).to(dtype, memory_format=layout) for _ in range(2))
        inputs = [x.requires_grad_()]
        if rng.random() < 0.5:
            size = [-(-side // extent) if extent else 1 for side in shape[2:]]
            inputs.append(torch.randn(*shape[:2], *size).to(dtype).requires_grad_())
        doubles = [tensor.detach().double().requires_grad_() for tensor in inputs]
        expected = reference(*doubles, *[None] * (2 - len(doubles)), extent)
        expected_gradients = torch.autograd.grad(expected, doubles, gradient.double())
        runs = []
        for _ in range(2):
            found = ge_cpu.excite(*inputs, *[None] * (2 - len(inputs)), extent)
            runs.append([found, *torch.autograd.grad(found, inputs, gradient)])
        assert runs[0][0].stride() == x.stride() or 1 in shape
        for one, again in zip(*runs, strict=True):
            assert torch.equal(one, again)
        for one, other in zip(runs[0], [expected, *expected_gradients], strict=True):
            assert error(one, other) < TOLERANCE[dtype], (shape, extent, dtype, layout)


@needs_kernel
@pytest.mark.parametrize(
    "shape", [(1, 4, 122, 9), (1, 3, 9, 122), (1, 2, 82, 9), (2, 1, 1, 1), (0, 3, 8, 8)]
)
def test_odd_shapes(shape):
    """The index that F.interpolate rounds in float32, a single element, an empty batch."""
    for extent in (0, 8, 41, 1000):
        module = ge_theta_minus(shape[1], extent=extent)
        plain = ge_theta_minus(shape[1], extent=extent, impl="reference")
        x = torch.randn(shape)
        if 0 not in shape:
            torch.testing.assert_close(module(x), plain(x))
        assert module(x).shape == shape


@needs_kernel
def test_what_is_no_number_spreads_no_further():
    """A NaN or an infinity in a window does what it does to PyTorch's operators, and no more."""
    for value in (float("nan"), float("inf")):
        x = torch.ones(1, 1, 32, 32)
        x[0, 0, 0, 0] = value
        y = ge_theta_minus(1, extent=4)(x)
        plain = ge_theta_minus(1, extent=4, impl="reference")(x)
        torch.testing.assert_close(y, plain, equal_nan=True)
        assert not torch.isfinite(y[0, 0, 0, 0])
        assert torch.isfinite(y[0, 0, 8:, 8:]).all()


@needs_kernel
@pytest.mark.parametrize("extreme", [-float("inf"), -1e4, -100.0, 100.0, 1e4, float("inf")])
def test_saturated_gates(extreme):
    """Far from 0 the gate is 0 or 1, as PyTorch's sigmoid has it."""
    x, logits = torch.ones(1, 1, 16, 16), torch.full((1, 1, 8, 8), extreme)
    torch.testing.assert_close(
        ge_cpu.excite(x, logits, 2), x * torch.sigmoid(torch.tensor(extreme))
    )


@needs_kernel
def test_inputs_that_are_views():
    """Slices, transposes and expanded tensors are taken as what they show."""
    big = torch.randn(4, 12, 40, 40)
    module, plain = (ge_theta_minus(6, extent=4, impl=i) for i in ("auto", "reference"))
    for x in (
        big[:, ::2, 3:30, 5:36],
        big[:, :6].transpose(2, 3),
        big[:1, :6].expand(3, -1, -1, -1),
    ):
        torch.testing.assert_close(module(x), plain(x))


@needs_kernel
def test_learned_gathers_take_it_too():
    """GE-θ with and without the kernel: the same output and the same gradients by its weights."""
    module = ge_theta(16, (20, 20), extent=4)
    plain = ge_theta(16, (20, 20), extent=4, impl="reference")
    plain.load_state_dict(module.state_dict())
    x = torch.randn(2, 16, 20, 20)
    for one, other in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            torch.autograd.grad(module(x).square().sum(), one),
            torch.autograd.grad(plain(x).square().sum(), other),
            rtol=1e-4,
            atol=1e-4,
        )


@needs_kernel
def test_other_gates_and_dtypes_take_the_operators():
    """A hard sigmoid and float64 are computed as they were, not refused."""
    x = torch.randn(1, 8, 16, 16)
    hard = GatherExcite(8, extent=4, use_mlp=False, gate_layer="hard_sigmoid")
    assert hard(x).abs().max() <= x.abs().max()
    assert ge_theta_minus(8, extent=4)(x.double()).dtype == torch.float64


@needs_kernel
def test_logits_of_another_size_are_refused():
    """Both shapes are named."""
    with pytest.raises(ValueError, match=r"logits of shape \(1, 2, 3, 3\), not \(1, 2, 4, 4\)"):
        ge_cpu.excite(torch.ones(1, 2, 8, 8), torch.ones(1, 2, 3, 3), 2)


@needs_kernel
def test_large_planes_keep_their_digits():
    """The mean of a million elements around 5 is right to float32's last digits."""
    x = torch.rand(1, 1, 1024, 1024) + 4.5
    logits_slope = ge_cpu.excite((x - 5).contiguous(), None, 0) / (x - 5)
    expected = (x - 5).double().mean().sigmoid()
    assert abs(float(logits_slope[0, 0, 0, 0]) - float(expected)) < 1e-6


@needs_kernel
def test_compiled_under_autocast():
    """A learned gather computes in bfloat16 there, and its gradients are what eager ones are."""
    module = ge_theta(16, (12, 12), extent=2)
    compiled = torch.compile(module, fullgraph=True)
    x = torch.randn(2, 16, 12, 12)
    found = []
    for call in (module, compiled):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = call(x)
        found.append(torch.autograd.grad(y.float().square().sum(), list(module.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


@needs_kernel
def test_replicas_and_copies_compute_the_same():
    """What DataParallel and deepcopy make of a module gives the same bits."""
    module, x = ge_theta_minus(8, extent=2), torch.randn(1, 8, 16, 16)
    for other in (module._replicate_for_data_parallel(), copy.deepcopy(module)):
        assert torch.equal(other(x), module(x))


@pytest.mark.parametrize("compiler", ["/nowhere/c++", "/bin/false"])
def test_without_a_compiler_the_operators_serve(compiler, tmp_path):
    """CXX that is missing or fails: one warning, and the reference's results."""
    script = (
        "import torch\nfrom attn_bench.modules.gather_excite import ge_theta_minus as ge\n"
        "x = torch.randn(1, 8, 16, 16)\n"
        "assert torch.equal(ge(8, extent=4)(x), ge(8, extent=4, impl='reference')(x))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "CXX": compiler, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Gather-Excite runs on PyTorch's operators") == 1


def test_an_unknown_implementation():
    """It is refused in a line that names those there are."""
    with pytest.raises(ValueError, match="impl is 'auto', 'kernel' or 'reference', not 'fast'"):
        GatherExcite(8, impl="fast")


@needs_kernel
def test_where_the_operators_are_as_fast(monkeypatch):
    """The global mean of a tiny map, or of channels side by side, is PyTorch's; others are not."""
    calls = []
    real = ge_cpu.excite
    monkeypatch.setattr(ge_cpu, "excite", lambda *given: calls.append(given) or real(*given))
    module, x = ge_theta_minus(8), torch.randn(2, 8, 16, 16)
    for given in (x.to(memory_format=torch.channels_last), torch.randn(2, 8, 7, 7)):
        module(given)
    assert not calls
    module(x)
    ge_theta_minus(8, extent=2)(x.to(memory_format=torch.channels_last))
    assert len(calls) == 2
