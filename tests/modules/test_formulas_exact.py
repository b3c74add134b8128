"""Modules and their formulas in float64: equal to rounding, also on maps smaller than a kernel."""

import pytest
import torch
from weights import randomised

from attn_bench.catalog.registry import builtin
from attn_bench.worker.foreign.candidates import wrong_ones

ENTRIES = {
    entry.name: entry
    for entry in builtin()
    if entry.reference and not entry.name.startswith("timm/") and entry.extents is None
}
CHANNELS = 64
EXACT = 1e-10  # of the largest value
COARSE = {"fca": 1e-6}  # its cosines are computed in float32

every_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))


def build(entry, size):
    torch.manual_seed(0)
    module = randomised(entry.build(CHANNELS, size, None)).double().eval()
    for parameter in module.parameters():
        if parameter.dim() > 1:  # as large as it is wide would saturate the gates
            parameter.data /= parameter[0].numel() ** 0.5
    return module


def maps(size):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, CHANNELS, *size, generator=generator, dtype=torch.float64)


@every_entry
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 8)])
def test_a_module_is_its_formula_to_rounding(entry, size):
    """In float64 a module and its formula differ by rounding alone, at 1×1, 3×5 and 9×8."""
    module, x = build(entry, size), maps(size)
    with torch.no_grad():
        got, expected = module(x), entry.formula()(x, dict(module.state_dict()))
    assert got.dtype == torch.float64
    limit = COARSE.get(entry.name, EXACT) * expected.abs().max()
    assert (got - expected).abs().max() <= limit


@every_entry
def test_each_known_mistake_changes_the_result(entry):
    """A formula with one of its known mistakes gives something else than the paper's."""
    formula = entry.formula()
    state, x = dict(build(entry, (14, 14)).state_dict()), maps((14, 14))
    x = x + 3 * x[:, :, :1, :1]  # means that differ
    expected = formula(x, state)
    for mistake in wrong_ones(formula):
        try:
            apart = (formula(x, state, **mistake.changes) - expected).abs().max()
        except RuntimeError:  # it needs weights of another shape, as a wrong class has them
            continue
        assert apart > 1e-6 * expected.abs().max(), mistake.reasons


@every_entry
def test_the_gradient_is_that_of_finite_differences(entry):
    """`gradcheck` in float64 accepts the gradient of the input, along random directions."""
    module, x = build(entry, (3, 4)), maps((3, 4)).requires_grad_()
    assert torch.autograd.gradcheck(module, (x,), fast_mode=True)


@every_entry
def test_a_constant_map_has_finite_gradients(entry):
    """A fresh module has finite gradients on maps of zeros, which a fresh network can give."""
    module = entry.build(CHANNELS, (4, 4), None).train()
    x = torch.zeros(2, CHANNELS, 4, 4, requires_grad=True)
    module(x).sum().backward()
    gradients = [x.grad, *(parameter.grad for parameter in module.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)
