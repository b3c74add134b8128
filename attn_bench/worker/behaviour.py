"""The checks of a module's behaviour, for all callers.

The result is finite and has the input's shape and dtype. The input does not change. Gradients
arrive and are finite. A failed check raises CaseFailed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attn_bench.worker.attempt import CaseFailed


class InputChanged(CaseFailed):
    """The module wrote to its input."""

    def __init__(self, stage: str) -> None:
        super().__init__("failed", f"{stage}: changed its input in place")


def check_module(made: Any) -> nn.Module:
    """Check that `made` is an nn.Module."""
    if not isinstance(made, nn.Module):
        raise CaseFailed("failed", f"constructor: returned {type(made).__name__}, not an nn.Module")
    return made


def check_result(result: Any, x: Tensor, stage: str, *, of_network: bool = False) -> Tensor:
    """Check that `result` is a finite tensor of the dtype and shape of `x`.

    of_network: the shape is one row of any length for each image instead.
    """
    if not isinstance(result, Tensor):
        raise CaseFailed("failed", f"{stage}: returned {type(result).__name__}, not a tensor")
    shape, expected = tuple(result.shape), tuple(x.shape)
    if of_network:
        expected = (expected[0], *shape[1:2])
    if shape != expected:
        raise CaseFailed("failed", f"{stage}: returned shape {shape}, not the input's {expected}")
    if result.dtype != x.dtype:
        raise CaseFailed("failed", f"{stage}: returned {result.dtype}, not {x.dtype}")
    if not bool(result.isfinite().all()):
        raise CaseFailed("failed", f"{stage}: returned NaN or infinity for a finite input")
    return result


def check_input(x: Tensor, before: Tensor, stage: str) -> None:
    """Check that `x` still has the values of `before`."""
    if not torch.equal(x.detach(), before):
        raise InputChanged(stage)


def check_gradient(gradient: Tensor | None, of: str) -> None:
    """Check that the gradient of the tensor named `of` arrived and is finite."""
    if gradient is None:
        raise CaseFailed("failed", f"backward: no gradient reaches {of}")
    if not bool(gradient.isfinite().all()):
        raise CaseFailed("failed", f"backward: the gradient of {of} has NaN or infinity")


def check_gradients(gradients: Sequence[Tensor | None], first: str) -> None:
    """Check that the first gradient, of the tensor named `first`, arrived, and all are finite."""
    check_gradient(gradients[0], first)
    for gradient in gradients[1:]:
        if gradient is not None:
            check_gradient(gradient, "a parameter")
