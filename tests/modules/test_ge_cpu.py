"""The CPU kernel agrees with PyTorch's operators, which replace it where it cannot compile."""

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
    """Rounded indices of F.interpolate, a single element and an empty batch give the same."""
    for extent in (0, 8, 41, 1000):
        module = ge_theta_minus(shape[1], extent=extent)
        plain = ge_theta_minus(shape[1], extent=extent, impl="reference")
        x = torch.randn(shape)
        if 0 not in shape:
            torch.testing.assert_close(module(x), plain(x))
        assert module(x).shape == shape


@needs_kernel
@pytest.mark.parametrize("width", [1, 2, 6, 7, 8, 13, 14, 15, 16])
def test_narrow_maps(width):
    """Rows that fit a vector give the same, for any number of planes; a NaN stays in its map."""
    for height in (1, 2, 7, 14):
        for extent in (0, 2, 3, 4, 8, 15):
            x = torch.randn(3, 7, height, width)
            x[1, 2] = float("nan")
            y = ge_theta_minus(7, extent=extent, impl="kernel")(x)
            plain = ge_theta_minus(7, extent=extent, impl="reference")(x)
            torch.testing.assert_close(y, plain, equal_nan=True)
            assert y.isnan().sum() == height * width


@needs_kernel
def test_nan_and_infinity_stay_in_their_windows():
    """A NaN or an infinity reaches the same elements as with PyTorch's operators."""
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
    """Far from 0 the gate is 0 or 1, as with PyTorch's sigmoid."""
    x, logits = torch.ones(1, 1, 16, 16), torch.full((1, 1, 8, 8), extreme)
    torch.testing.assert_close(
        ge_cpu.excite(x, logits, 2), x * torch.sigmoid(torch.tensor(extreme))
    )


@needs_kernel
def test_inputs_that_are_views():
    """Slices, transposes and expanded tensors give what their elements give."""
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
    """The gradients of GE-θ by its weights are the same with and without the kernel."""
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
    """PyTorch's operators compute a hard sigmoid and float64, and nothing is refused."""
    x = torch.randn(1, 8, 16, 16)
    hard = GatherExcite(8, extent=4, use_mlp=False, gate_layer="hard_sigmoid")
    assert hard(x).abs().max() <= x.abs().max()
    assert ge_theta_minus(8, extent=4)(x.double()).dtype == torch.float64


@needs_kernel
def test_logits_of_another_size_are_refused():
    """The error names both shapes."""
    with pytest.raises(ValueError, match=r"logits of shape \(1, 2, 3, 3\), not \(1, 2, 4, 4\)"):
        ge_cpu.excite(torch.ones(1, 2, 8, 8), torch.ones(1, 2, 3, 3), 2)


@needs_kernel
def test_large_planes_keep_their_digits():
    """The mean of a million elements around 5 is exact to float32's last digits."""
    x = torch.rand(1, 1, 1024, 1024) + 4.5
    logits_slope = ge_cpu.excite((x - 5).contiguous(), None, 0) / (x - 5)
    expected = (x - 5).double().mean().sigmoid()
    assert abs(float(logits_slope[0, 0, 0, 0]) - float(expected)) < 1e-6


@needs_kernel
def test_compiled_under_autocast():
    """Compiled under autocast, a learned gather has the gradients of the eager one."""
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
    """A replica of DataParallel and a deep copy give the same bits as the module."""
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
    """An unknown `impl` is refused, and the error lists the known ones."""
    with pytest.raises(ValueError, match="impl is 'auto', 'kernel' or 'reference', not 'fast'"):
        GatherExcite(8, impl="fast")


@needs_kernel
def test_where_the_operators_are_as_fast(monkeypatch):
    """Without a gradient, channels_last has operators; with one, tiny maps have them, too."""
    calls = []
    real = ge_cpu.excite
    monkeypatch.setattr(ge_cpu, "excite", lambda *given: calls.append(given) or real(*given))
    module, x = ge_theta_minus(8), torch.randn(2, 8, 16, 16)
    tiny = torch.randn(2, 8, 7, 7)
    for given in (
        x.to(memory_format=torch.channels_last),
        tiny.clone().requires_grad_(),
        tiny.bfloat16(),
        torch.randn(2, 8, 3, 3),
    ):
        module(given)
    assert not calls
    module(x)
    ge_theta_minus(8, extent=2)(x.to(memory_format=torch.channels_last))
    assert len(calls) == 2
    module(tiny)
    assert len(calls) == 2 + ge_cpu.is_by_rows(tiny)
