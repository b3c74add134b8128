"""The kernel computes what the operators do, whatever the shape, and is not needed."""

import copy
import functools
import warnings

import ge_random
import pytest
import torch

from attn_bench.modules import ge_build, ge_cpu
from attn_bench.modules.gather_excite import GatherExcite, ge_theta, ge_theta_minus

needs_kernel = pytest.mark.skipif(not ge_cpu.is_available(), reason="no compiler with OpenMP")


@needs_kernel
@pytest.mark.parametrize("seed", range(24))
def test_forward_and_gradients_agree_with_float64(seed):
    """On a random shape the kernel is within rounding of float64, the same bits in every run."""
    ge_random.check_excite(seed)


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
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
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
def test_without_a_compiler_the_operators_serve(compiler, tmp_path, monkeypatch):
    """A missing or failing CXX gives one warning, and the results of PyTorch's operators."""
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = functools.cache(ge_build.load_library.__wrapped__)  # as in a new process
    monkeypatch.setattr(ge_cpu, "load_library", fresh)
    module, plain = (ge_theta_minus(8, extent=4, impl=impl) for impl in ("auto", "reference"))
    x = torch.randn(1, 8, 16, 16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert torch.equal(module(x), plain(x))
    assert len(caught) == 1
    assert "Gather-Excite runs on PyTorch's operators" in str(caught[0].message)
    assert not list(tmp_path.rglob("*.so"))


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
