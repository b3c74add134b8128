"""What several formulas share: a norm in evaluation, convolutions, the small network of SE."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def batch_norm(x: Tensor, state: State, name: str) -> Tensor:
    """The BatchNorm `name` in evaluation: N×C×H×W to the same."""
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def pointwise(x: Tensor, state: State, name: str) -> Tensor:
    """The 1×1 convolution `name`, with its bias if it has one."""
    y = torch.einsum("nchw,dc->ndhw", x, state[f"{name}.weight"][:, :, 0, 0])
    bias = state.get(f"{name}.bias")
    return y if bias is None else y + bias[:, None, None]


def mlp(
    x: Tensor, state: State, prefix: str, act: Callable[[Tensor], Tensor] = torch.relu
) -> Tensor:
    """Two 1×1 convolutions with an activation between, as in SE."""
    return pointwise(act(pointwise(x, state, f"{prefix}fc1")), state, f"{prefix}fc2")


def convolution(x: Tensor, state: State, name: str, groups: int = 1) -> Tensor:
    """The convolution `name` of odd size with stride 1, padded with zeros to the same size.

    It adds one shifted 1×1 for each element of the kernel.
    """
    weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
    (height, width), side = x.shape[2:], weight.shape[-1]
    padded = F.pad(x, [side // 2] * 4)
    y = x.new_zeros(())
    for top in range(side):
        for left in range(side):
            moved = padded[:, :, top : top + height, left : left + width]
            parts = zip(moved.chunk(groups, 1), weight[:, :, top, left].chunk(groups), strict=True)
            y = y + torch.cat([torch.einsum("nchw,dc->ndhw", m, w) for m, w in parts], dim=1)
    return y if bias is None else y + bias[:, None, None]
