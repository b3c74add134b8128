"""Counts the parameters and buffers of a module, and its least traffic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from attn_bench.model.case import Case
from attn_bench.worker.called import CalledCase


def measure(called: CalledCase) -> Mapping[str, Any]:
    built = called.built
    return {
        "params": count_parameters(built.module),
        "buffers": count_buffers(built.module),
        "bytes_min": count_bytes(built.module, built.case, called.result.nbytes),
    }


def count_parameters(module: nn.Module) -> int:
    """Learnable parameters, shared ones once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def count_buffers(module: nn.Module) -> int:
    """Elements of floating-point buffers: BatchNorm's running statistics, not its step counter."""
    return sum(b.numel() for b in module.buffers() if b.is_floating_point())


def count_bytes(module: nn.Module, case: Case, output_bytes: int) -> int:
    """The least traffic: input once, output once, parameters once.

    Training moves at least the gradients of the same three as well.
    """
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    forward = case.input_bytes + output_bytes + weights
    return forward if case.mode == "inference" else 2 * forward
