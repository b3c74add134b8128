"""What several formulas share: a norm in evaluation, 1×1 convolutions, the small network of SE."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def batch_norm(x: Tensor, state: State, name: str) -> Tensor:
    """The BatchNorm `name` in evaluation: N×C×H×W to the same."""
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def dense(x: Tensor, state: State, name: str) -> Tensor:
    """A 1×1 convolution as one matrix for all positions; its bias counts if the state has one."""
    weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
    y = torch.einsum("nchw,dc->ndhw", x, weight.reshape(weight.shape[:2]))
    return y if bias is None else y + bias[:, None, None]


def mlp(
    x: Tensor, state: State, prefix: str, act: Callable[[Tensor], Tensor] = torch.relu
) -> Tensor:
    """Two 1×1 convolutions with an activation between, as in SE."""
    return dense(act(dense(x, state, f"{prefix}fc1")), state, f"{prefix}fc2")
