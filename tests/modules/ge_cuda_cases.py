"""Tests of the Triton kernels, on a GPU or, with TRITON_INTERPRET=1, in Triton's interpreter.

`test_ge_cuda.py` runs this file in a separate process, because Triton reads the variable on import.
"""

import random

import ge_oracle
import pytest
import torch
from ge_random import error, reference

pytest.importorskip("triton")
from attn_bench.modules import ge_cuda, ge_dispatch, ge_ops  # needs Triton
from attn_bench.modules.gather_excite import ge_theta_minus

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
LAYOUTS = [torch.contiguous_format, torch.channels_last]
# At length 122 and extent 8 float32 moves an element; 14 by 4 and 7 by 5 do not divide.
SHAPES = [
    ((1, 2, 122, 9), 8),
    ((2, 3, 9, 122), 8),
    ((1, 2, 26, 5), 13),
    ((3, 5, 1, 1), 2),
    ((2, 40, 1, 1), 0),
    ((2, 40, 7, 7), 2),
    ((1, 3, 7, 7), 5),
    ((2, 18, 14, 14), 4),
    ((1, 4, 14, 14), 13),
    ((1, 2, 1, 20), 3),
    ((1, 2, 17, 1), 0),
    ((1, 1, 150, 140), 0),
    ((1, 1, 9, 9), 1000),
]


def check(shape, extent, dtype, layout, is_given):
    """Compare forward and gradients of two runs with float64; with logits if `is_given`."""
    x, gradient = (
        torch.randn(shape, device=ge_cuda.DEVICE).to(dtype, memory_format=layout) for _ in range(2)
    )
    inputs = [x.requires_grad_()]
    if is_given:
        size = [-(-side // extent) if extent else 1 for side in shape[2:]]
        logits = torch.randn(*shape[:2], *size, device=ge_cuda.DEVICE)
        inputs.append(logits.to(dtype).requires_grad_())
    absent = [None] * (2 - len(inputs))
    doubles = [tensor.detach().double().cpu().requires_grad_() for tensor in inputs]
    expected = reference(*doubles, *absent, extent)
    slopes = torch.autograd.grad(expected, doubles, gradient.double().cpu())
    runs = []
    for _ in range(2):
        found = ge_cuda.excite(*inputs, *absent, extent)
        runs.append([found, *torch.autograd.grad(found, inputs, gradient)])
    assert runs[0][0].stride() == x.stride() or min(shape) <= 1
    for one, again in zip(*runs, strict=True):
        assert torch.equal(one, again)
    for one, other in zip(runs[0], [expected, *slopes], strict=True):
        assert one.dtype == dtype
        if one.numel():
            assert error(one.cpu(), other) < TOLERANCE[dtype]


@pytest.mark.parametrize("seed", range(4))
def test_random_shapes(seed):
    """Forward and gradients are those of float64, and every run gives the same bits."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    shape = rng.randint(1, 3), rng.randint(1, 12), rng.randint(1, 20), rng.randint(1, 20)
    extent = rng.choice([0, 2, 3, 4, 5, 7, 8, 16])
    dtype, layout = rng.choice(list(TOLERANCE)), rng.choice(LAYOUTS)
    check(shape, extent, dtype, layout, is_given=rng.random() < 0.5)


@pytest.mark.parametrize(("shape", "extent"), SHAPES)
@pytest.mark.parametrize("is_given", [False, True])
def test_odd_shapes(shape, extent, is_given):
    """So are they where sizes do not divide, rounding moves an element, or a side is 1."""
    layout = LAYOUTS[(SHAPES.index((shape, extent)) + is_given) % 2]
    check(shape, extent, torch.float32, layout, is_given)


def test_an_empty_batch():
    """An empty batch gives an empty output of its shape."""
    x = torch.empty(0, 3, 8, 8, device=ge_cuda.DEVICE)
    assert ge_cuda.excite(x, None, 2).shape == x.shape


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("extent", [0, 2, 5])
def test_more_than_a_tile(monkeypatch, layout, extent):
    """Maps that take several bands, chunks and passes give the same."""
    monkeypatch.setattr(ge_cuda, "TILE", 64)
    monkeypatch.setattr(ge_cuda, "ON_CHIP", 64)
    ge_cuda._pooled_sizes.cache_clear()
    for is_given in (False, True):
        check((1, 2, 7, 9), extent, torch.float32, layout, is_given)
    ge_cuda._pooled_sizes.cache_clear()


@pytest.mark.parametrize("extent", [0, 2, 3, 4])
def test_the_oracle(extent):
    """The forward is that of explicit loops in float64."""
    x = torch.randn(2, 3, 11, 13, device=ge_cuda.DEVICE)
    expected = ge_oracle.gather_excite(x.double().cpu().numpy(), {}, "theta_minus", extent)
    found = ge_cuda.excite(x, None, extent).cpu().double()
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


def test_no_number_spreads_no_further():
    """A NaN or an infinity reaches the windows that it lies in, and no others."""
    for value in (float("nan"), float("inf")):
        x = torch.ones(1, 1, 32, 32, device=ge_cuda.DEVICE)
        x[0, 0, 0, 0] = value
        y = ge_cuda.excite(x, None, 4)
        assert not torch.isfinite(y[0, 0, 0, 0])
        assert torch.isfinite(y[0, 0, 8:, 8:]).all()


def test_views_and_other_dtypes():
    """A transposed slice gives what its elements give; float64 and other devices are refused."""
    big = torch.randn(2, 6, 20, 20, device=ge_cuda.DEVICE)
    x = big[:, ::2, 3:15, 5:18].transpose(2, 3)
    expected = reference(x.double().cpu(), None, 4)
    assert error(ge_cuda.excite(x, None, 4).cpu(), expected) < 1e-5
    assert not ge_cuda.suits(big.double())
    assert not ge_cuda.suits(torch.ones(1, 1, 4, 4, device="meta"))


def test_logits_of_another_size_are_refused():
    """Both shapes are named."""
    x, logits = (torch.ones(1, 2, side, side, device=ge_cuda.DEVICE) for side in (8, 3))
    with pytest.raises(ValueError, match=r"logits of shape \(1, 2, 3, 3\), not \(1, 2, 4, 4\)"):
        ge_cuda.excite(x, logits, 2)


def test_compiled_in_one_graph(monkeypatch):
    """torch.compile makes one graph of a module with the kernel, and its gradients agree."""
    if ge_cuda.DEVICE == "cpu":
        monkeypatch.setattr(ge_dispatch, "ge_cpu", ge_cuda)
    module = ge_theta_minus(6, extent=4, impl="kernel")
    plain = ge_theta_minus(6, extent=4, impl="reference")
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 6, 12, 12, device=ge_cuda.DEVICE, requires_grad=True)
    found, expected = compiled(x), plain(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), x),
        torch.autograd.grad(expected.square().sum(), x),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("extent", [2, 3, 4, 7, 8, 16])
def test_the_choice_of_the_nearest_gate(extent):
    """It is that of F.interpolate at lengths up to 300: on a GPU at each, else at every 59th."""
    for size in range(extent + 1, 300, 1 if ge_cuda.DEVICE == "cuda" else 59):
        gates = -(-size // extent)
        logits = torch.linspace(-3, 3, gates, device=ge_cuda.DEVICE)[None, None, :, None]
        y = ge_cuda.excite(torch.ones(1, 1, size, 1, device=ge_cuda.DEVICE), logits, extent)
        rows = ge_ops.sources(size, 1, extent)[0].long().to(ge_cuda.DEVICE)
        torch.testing.assert_close(y.flatten(), logits.flatten().sigmoid()[rows])
