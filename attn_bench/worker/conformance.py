"""The checks of `verify`: each function checks one rule on one variant.

A check builds the variant anew, so that checks do not depend on each other. It raises CaseFailed
for a fault, and NotApplicable if the rule does not apply. It returns a remark or None.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attn_bench.catalog.registry import Entry, builtin
from attn_bench.model.case import Variant
from attn_bench.model.checks import Check, Checked
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.behaviour import InputChanged, check_gradient, check_input
from attn_bench.worker.foreign.build import NotBuilt
from attn_bench.worker.foreign.compare import compare
from attn_bench.worker.specimen import BATCH, SIZES, Size, Specimen, must_agree

ODD_SIZE = (15, 13)
STEP = 1e-7  # of the finite differences, in float64
SLOPE_CLOSE = 1e-3  # of the gradient's norm
REFUSALS = (ValueError, AssertionError, RuntimeError)  # PyTorch's own errors of shape are the last


class NotApplicable(Exception):
    """The rule does not apply to the variant; the message gives the reason."""


class UnknownName(KeyError):
    """A reference asks for a tensor that the module's state does not have."""


class Weights(dict[str, Tensor]):
    """A state dict for a reference."""

    def __missing__(self, name: str) -> Tensor:
        raise UnknownName(name)


@dataclass(frozen=True)
class OfSpecimen:
    """Makes the modules of a specimen for `compare`."""

    specimen: Specimen

    def build(self, channels: int, size: Size) -> tuple[nn.Module, str]:
        try:
            return self.specimen.build(size), self.specimen.variant.label
        except CaseFailed as failed:
            raise NotBuilt(str(failed)) from failed

    def takes_channels(self) -> bool:
        return False


def verify(entry: Entry, variant: Variant, check: Check, device: str) -> Checked:
    """The result of one check of one variant. Whatever the module raises is caught."""
    # A warning of the module is not a fault. TF32 is off, since its rounding is coarse.
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    with warnings.catch_warnings(), exact:
        warnings.simplefilter("ignore")
        try:
            return Checked("passed", CHECKS[check](Specimen(entry, variant, device)))
        except CaseFailed as failed:
            return Checked("failed", str(failed))
        except NotApplicable as reason:
            return Checked("not_applicable", str(reason))


def builds(specimen: Specimen) -> None:
    """The constructor makes an nn.Module."""
    specimen.build()


def forward(specimen: Specimen) -> None:
    """In evaluation and in training, the result is finite and has the input's shape and dtype."""
    for training in (False, True):
        specimen.forward(specimen.build().train(training), specimen.input())


def input_(specimen: Specimen) -> None:
    """Neither mode writes to the input."""
    for training in (False, True):
        module, x = specimen.build().train(training), specimen.input()
        version = x._version
        specimen.forward(module, x)
        if x._version != version:
            raise InputChanged("forward")
        check_input(x, specimen.input(), "forward")


def bfloat16(specimen: Specimen) -> None:
    """In bfloat16, the result is bfloat16 and close to the float32 result."""
    module, x = specimen.build(), specimen.input(dtype=torch.bfloat16)
    expected = specimen.forward(module, x.float())
    attempt("module.bfloat16()", module.bfloat16)
    must_agree("bfloat16", specimen.forward(module, x, "bfloat16"), expected)


def channels_last(specimen: Specimen) -> None:
    """The memory format changes no value."""
    module, x = specimen.build(), specimen.input()
    expected, layout = specimen.forward(module, x), torch.channels_last
    attempt("module.to(channels_last)", lambda: module.to(memory_format=layout))  # type: ignore[call-overload]
    got = specimen.forward(module, x.contiguous(memory_format=layout), "channels_last")
    must_agree("channels_last", got, expected)


def gradients(specimen: Specimen) -> None:
    """In training, gradients reach the input and every parameter.

    In evaluation, the float64 gradients equal finite differences, and float32 is close to them.
    """
    module, x = specimen.build().train(), specimen.input().requires_grad_()
    attempt("backward", lambda: specimen.forward(module, x).square().mean().backward())
    check_input(x, specimen.input(), "backward")
    reached = {"the input": x.grad, **{name: p.grad for name, p in module.named_parameters()}}
    for name, gradient in reached.items():
        check_gradient(gradient, name)
    exact = _gradients(specimen, torch.float64)
    must_agree("gradient in float32", _gradients(specimen, torch.float32)[0], exact[0])
    _differences_must_agree(specimen, exact)


def _weighted(specimen: Specimen, module: nn.Module, x: Tensor) -> Tensor:
    """A weighted sum of the result, with another random weight for each element."""
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    return (specimen.forward(module, x) * weights.to(x)).sum()


def _gradients(specimen: Specimen, dtype: torch.dtype) -> list[Tensor]:
    """The gradients of the input and of every parameter, in evaluation; zero if none arrives."""
    module, x = specimen.build(), specimen.input(dtype=dtype).requires_grad_()
    attempt("module.to(dtype)", lambda: module.to(dtype))
    at = [x, *module.parameters()]
    found = attempt(
        "backward",
        lambda: torch.autograd.grad(_weighted(specimen, module, x), at, allow_unused=True),
    )
    return [torch.zeros_like(a) if g is None else g for a, g in zip(at, found, strict=True)]


def _differences_must_agree(specimen: Specimen, gradients: list[Tensor]) -> None:
    """Compare with finite differences along one random direction of input and parameters."""
    generator = torch.Generator().manual_seed(3)
    along = [torch.randn(g.shape, generator=generator).to(g) for g in gradients]
    ends = []
    for sign in (1, -1):
        module, x = specimen.build().double(), specimen.input(dtype=torch.float64)
        with torch.no_grad():
            for tensor, direction in zip([x, *module.parameters()], along, strict=True):
                tensor += sign * STEP * direction
            ends.append(float(_weighted(specimen, module, x)))
    measured = (ends[0] - ends[1]) / (2 * STEP)
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, along, strict=True))
    norm = sum(float(g.square().sum()) for g in gradients) ** 0.5
    if not abs(slope - measured) <= SLOPE_CLOSE * norm:
        values = f"gives the slope {slope:.4g}, but finite differences give {measured:.4g}"
        raise CaseFailed("failed", f"backward: {values}")


def rows(specimen: Specimen) -> None:
    """In evaluation, the result of an image does not depend on the other images of the batch."""
    module, x = specimen.build(), specimen.input()
    together = specimen.forward(module, x)
    for index in range(BATCH):
        row = slice(index, index + 1)
        must_agree(f"row {index} alone", specimen.forward(module, x[row]), together[row])


def repeats(specimen: Specimen) -> None:
    """In evaluation, the same input gives the same bits twice."""
    module, x = specimen.build(), specimen.input()
    first, second = (attempt("forward", lambda: module(x)) for _ in range(2))
    if not torch.equal(first, second):
        raise CaseFailed("failed", "forward: the same input gives another result the second time")


def state(specimen: Specimen) -> None:
    """Another instance with the same state dict and a deep copy give the same result."""
    module, x = specimen.build(), specimen.input()
    expected = specimen.forward(module, x)
    twin = specimen.build(seed=9)
    attempt("load_state_dict", lambda: twin.load_state_dict(module.state_dict(), strict=True))
    must_agree("loaded from its state dict", specimen.forward(twin, x), expected)
    copied = attempt("deepcopy", lambda: copy.deepcopy(module))
    must_agree("deep copy", specimen.forward(copied, x), expected)


def odd_sizes(specimen: Specimen) -> None:
    """The module accepts maps of 15×13, or refuses them with an error."""
    try:
        specimen.forward(specimen.build(ODD_SIZE), specimen.input(ODD_SIZE))
    except CaseFailed as failed:
        if failed.status == "failed" and isinstance(failed.__cause__, REFUSALS):
            raise NotApplicable(f"refuses maps of 15×13: {failed}") from None
        raise


def agrees(specimen: Specimen) -> str | None:
    """In evaluation, the module agrees with its reference; returns the reference's warning.

    If the formula of a built-in asks for other names, tensors are mapped by shape and order.
    """
    formula = attempt("reference", specimen.entry.formula)
    if formula is None:
        raise NotApplicable("no reference is registered")
    try:
        remark = _agrees_at(specimen, specimen.size)
    except CaseFailed as failed:
        if isinstance(failed.__cause__, UnknownName):
            return _agrees_by_shape(specimen, formula, failed.__cause__)
        raise
    with suppress(NotApplicable):
        odd_sizes(specimen)
        _agrees_at(specimen, ODD_SIZE)
    return remark


def _agrees_at(specimen: Specimen, size: Size) -> str | None:
    formula = specimen.entry.formula()
    assert formula is not None
    module, x = specimen.build(size), specimen.input(size)
    weights = Weights({name: tensor.double() for name, tensor in module.state_dict().items()})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        expected = attempt(
            "reference", lambda: formula(x.double(), weights, **specimen.arguments())
        )
    place = f"against its reference at {size[0]}×{size[1]}"
    must_agree(place, specimen.forward(module, x), expected)
    return "; ".join(str(warning.message) for warning in warned) or None


def _agrees_by_shape(
    specimen: Specimen, formula: Callable[..., Any], unknown: UnknownName
) -> str | None:
    """Compare with the built-in that has this formula, whatever the names of the parameters."""
    asks = f"reference: asks for {unknown}, which the module's state does not have"
    model = next((entry for entry in builtin() if entry.formula() is formula), None)
    if model is None:
        raise CaseFailed("failed", asks)
    variant = Variant(model.name, specimen.variant.extent, specimen.variant.arguments)
    found = compare(OfSpecimen(specimen), model, variant, {})
    words = "; ".join(found.reasons)
    if found.verdict == "agrees":
        return "; ".join(found.remarks) or None
    if found.verdict == "differs":
        raise CaseFailed("failed", f"against {model.name}: {words}")
    raise NotApplicable(f"{asks}: {words}")


def compiles(specimen: Specimen) -> None:
    """`torch.compile` turns the module into one graph with the same result and gradient.

    The backend aot_eager traces forward and backward, without the translation to C++.
    """
    torch.compiler.reset()
    module, x = specimen.build(), specimen.input().requires_grad_()
    expected = specimen.forward(module, x)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=False)
    try:
        got = specimen.forward(compiled, x, "compile")
    except CaseFailed as failed:
        raise CaseFailed("failed", str(failed) + _explained(failed.__cause__)) from failed
    must_agree("compiled", got, expected)
    if expected.requires_grad:
        of_expected = attempt("backward", lambda: torch.autograd.grad(expected.sum(), x)[0])
        of_got = attempt("compile: backward", lambda: torch.autograd.grad(got.sum(), x)[0])
        must_agree("gradient, compiled", of_got, of_expected)


def _explained(error: BaseException | None) -> str:
    """The compiler's explanation of code that it cannot trace; empty if it gives none."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((f" ({line})" for line in lines if line.startswith("Explanation:")), "")


def exports(specimen: Specimen) -> None:
    """`torch.export` exports the module, and the exported program gives the same result."""
    module, x = specimen.build(), specimen.input()
    expected = specimen.forward(module, x)
    program = attempt("export", lambda: torch.export.export(module, (x,)).module())
    must_agree("exported", specimen.forward(program, x, "export"), expected)


def refuses(specimen: Specimen) -> None:
    """The constructor raises ValueError for invalid arguments."""
    try:
        specimen.build(SIZES[0])
    except CaseFailed as failed:
        if isinstance(failed.__cause__, ValueError):
            return
        raise CaseFailed("failed", f"no ValueError but {failed}") from None
    raise CaseFailed("failed", "constructor: silently accepts invalid arguments")


CHECKS: Mapping[Check, Callable[[Specimen], str | None]] = {
    "builds": builds,
    "forward": forward,
    "input": input_,
    "bfloat16": bfloat16,
    "channels_last": channels_last,
    "gradients": gradients,
    "rows": rows,
    "repeats": repeats,
    "state": state,
    "odd_sizes": odd_sizes,
    "agrees": agrees,
    "compiles": compiles,
    "exports": exports,
    "refuses": refuses,
}
