"""What several formulas share: a norm in evaluation and the small network of SE."""

from __future__ import annotations

from collections.abc import Mapping

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


def mlp(x: Tensor, state: State, prefix: str) -> Tensor:
    """Two 1×1 convolutions with a ReLU between. Each is one matrix for all positions."""
    for name in ("fc1", "fc2"):
        weight, bias = state[f"{prefix}{name}.weight"][:, :, 0, 0], state[f"{prefix}{name}.bias"]
        x = torch.einsum("nchw,dc->ndhw", x, weight) + bias[:, None, None]
        x = x.relu() if name == "fc1" else x
    return x
