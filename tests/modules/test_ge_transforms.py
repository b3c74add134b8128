"""Gather-Excite in TorchScript, under transforms of torch.func, and derived more than once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from attn_bench.modules import ge_cpu
from attn_bench.modules.gather_excite import (
    GatherExcite,
    ge_theta,
    ge_theta_minus,
    ge_theta_plus,
)

SIDE = 14
needs_kernel = pytest.mark.skipif(not ge_cpu.is_available(), reason="no compiler with OpenMP")
FORMS = {
    "theta_minus": lambda impl: ge_theta_minus(8, extent=2, impl=impl),
    "theta_minus_global": lambda impl: ge_theta_minus(8, impl=impl),
    "theta": lambda impl: ge_theta(8, extent=4, impl=impl),
    "theta_plus_global": lambda impl: ge_theta_plus(8, SIDE, impl=impl),
}


@pytest.fixture(params=FORMS, ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[GatherExcite, GatherExcite]:
    """A module that may use a kernel, and one of PyTorch's operators with the same weights."""
    fast, slow = (FORMS[request.param](impl).eval() for impl in ("auto", "reference"))
    slow.load_state_dict(fast.state_dict())
    return fast, slow


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 8, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_torchscript_compiles_it(pair: tuple[GatherExcite, GatherExcite], x: Tensor) -> None:
    """The script has PyTorch's operators only."""
    fast, slow = pair
    torch.testing.assert_close(torch.jit.script(fast)(x), slow(x))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "transform",
    [
        lambda module, x: torch.func.jvp(module, (x,), (x,))[1],
        lambda module, x: torch.func.grad(lambda x: module(x).square().sum())(x),
        lambda module, x: torch.func.vmap(lambda each: module(each[None])[0])(x),
    ],
    ids=["jvp", "grad", "vmap"],
)
def test_a_transform_gives_what_the_operators_give(
    pair: tuple[GatherExcite, GatherExcite],
    x: Tensor,
    transform: Callable[[GatherExcite, Tensor], Tensor],
) -> None:
    """A kernel without a rule would give a derivative of zeros in forward mode."""
    fast, slow = pair
    torch.testing.assert_close(transform(fast, x), transform(slow, x))
    assert transform(slow, x).abs().max() > 0


def test_a_compiled_transform_gives_what_the_operators_give(x: Tensor) -> None:
    """Under torch.compile, too."""
    fast, slow = (FORMS["theta_minus"](impl) for impl in ("auto", "reference"))

    def slope(x: Tensor) -> Tensor:
        return torch.func.jvp(fast, (x,), (x,))[1]

    compiled = torch.compile(slope, backend="eager")(x)
    torch.testing.assert_close(compiled, torch.func.jvp(slow, (x,), (x,))[1])


def test_forward_mode_has_a_tangent(pair: tuple[GatherExcite, GatherExcite], x: Tensor) -> None:
    """Also without torch.func."""
    with forward_ad.dual_level():
        fast, slow = (
            forward_ad.unpack_dual(module(forward_ad.make_dual(x, x))).tangent for module in pair
        )
    assert fast is not None
    torch.testing.assert_close(fast, slow)


@needs_kernel
def test_second_derivatives_name_the_way(x: Tensor) -> None:
    """They need impl='reference', and the error of the kernel says it."""

    def penalty(impl: str) -> None:
        given = x.clone().requires_grad_()
        module = FORMS["theta_minus"](impl)
        (slope,) = torch.autograd.grad(module(given).square().sum(), given, create_graph=True)
        slope.square().sum().backward()
        assert given.grad is not None

    with pytest.raises(RuntimeError, match="impl='reference'"):
        penalty("auto")
    penalty("reference")


def test_a_kernel_that_is_asked_for_refuses_a_transform(x: Tensor) -> None:
    """It names the other way."""
    module = FORMS["theta_minus"]("kernel")
    with pytest.raises(ValueError, match=r"transforms of torch.func.*impl='auto'"):
        torch.func.grad(lambda x: module(x).sum())(x)
