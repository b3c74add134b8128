"""The forms of Gather-Excite, arXiv:1810.12348."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import State, batch_norm, mlp


def gather_excite(
    x: Tensor,
    state: State,
    extra_params: bool = False,
    extent: int = 0,
    usemlp: bool = True,
    gather_relu: bool = False,
) -> Tensor:
    """x ⊙ σ(interp(mlp(gather(x)))), arXiv:1810.12348; extent 0 is global.

    Warns if the arguments describe a module of another paper.
    """
    if usemlp and not extra_params and extent == 0:
        warnings.warn("this is Squeeze-and-Excitation, not Gather-Excite", stacklevel=2)
    context = _learned(x, state, extent) if extra_params else _windows_mean(x, extent)
    if gather_relu:
        context = context.relu()
    if usemlp:
        context = mlp(context, state, "mlp.")
    rows, columns = (
        torch.arange(size, device=x.device) * gates // size
        for size, gates in zip(x.shape[2:], context.shape[2:], strict=True)
    )
    return x * context[:, :, rows][..., columns].sigmoid()


def ge_theta_minus(x: Tensor, state: State, extent: int = 0) -> Tensor:
    return gather_excite(x, state, extent=extent, usemlp=False)


def ge_theta(x: Tensor, state: State, extent: int = 0) -> Tensor:
    return gather_excite(x, state, True, extent, usemlp=False)


def ge_theta_plus(x: Tensor, state: State, extent: int = 0) -> Tensor:
    return gather_excite(x, state, True, extent, gather_relu=True)


def _windows_mean(x: Tensor, extent: int) -> Tensor:
    """The means over (2e−1)×(2e−1) windows, one every e elements, of the elements in the map."""
    if extent == 0:
        return x.mean((2, 3), keepdim=True)

    def windows(size: int) -> list[slice]:
        return [slice(max(0, i - extent + 1), i + extent) for i in range(0, size, extent)]

    rows = [
        torch.stack([x[:, :, row, column].mean((2, 3)) for column in windows(x.shape[3])], dim=-1)
        for row in windows(x.shape[2])
    ]
    return torch.stack(rows, dim=2)


def _learned(x: Tensor, state: State, extent: int) -> Tensor:
    """log₂e × (depthwise 3×3, stride 2 → norm), ReLU between. The global one has one position."""
    channels = x.shape[1]
    if extent == 0:
        weight = state["gather.conv1.weight"][:, 0]  # C×H×W
        return batch_norm((x * weight).sum((2, 3), keepdim=True), state, "gather.norm1")
    halvings = extent.bit_length() - 1
    for i in range(1, halvings + 1):
        weight = state[f"gather.conv{i}.weight"]
        x = F.conv2d(x, weight, stride=2, padding=1, groups=channels)
        x = batch_norm(x, state, f"gather.norm{i}")
        x = x.relu() if i < halvings else x
    return x
