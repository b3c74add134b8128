"""The papers' formulas in plain code: `verify` compares the modules with them.

A formula is a function of an input N×C×H×W and of a module's state dict, in evaluation. It shares
no code with the modules. It cuts windows out one by one, and picks sources of upsampling by index.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .probe import FACTOR

State = Mapping[str, Tensor]


def identity(x: Tensor, state: State) -> Tensor:
    return x


def probe(x: Tensor, state: State, passes: int = 100) -> Tensor:
    return x * FACTOR**passes


def se(x: Tensor, state: State) -> Tensor:
    """x ⊙ σ(W₂ relu(W₁ mean(x))), arXiv:1709.01507."""
    return x * _mlp(x.mean((2, 3), keepdim=True), state, "").sigmoid()


def cbam(x: Tensor, state: State) -> Tensor:
    """z = x ⊙ σ(mlp(mean(x)) + mlp(max(x))), z ⊙ σ(bn(7×7([mean_c(z), max_c(z)]))),
    arXiv:1807.06521."""
    mean, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    z = x * (_mlp(mean, state, "channel.") + _mlp(most, state, "channel.")).sigmoid()
    maps = torch.stack([z.mean(1), z.amax(1)], dim=1)
    conv = F.conv2d(maps, state["spatial.conv.conv.weight"], padding=3)
    return z * _batch_norm(conv, state, "spatial.conv.bn").sigmoid()


def eca(x: Tensor, state: State) -> Tensor:
    """x ⊙ σ(a convolution of the means along the channels), arXiv:1910.03151."""
    weight = state["conv.weight"]
    means = x.mean((2, 3))[:, None]  # N×1×C
    return x * F.conv1d(means, weight, padding=weight.shape[-1] // 2).sigmoid()[:, 0, :, None, None]


def gather_excite(
    x: Tensor,
    state: State,
    extra_params: bool = False,
    extent: int = 0,
    use_mlp: bool = True,
    gather_relu: bool = False,
) -> Tensor:
    """x ⊙ σ(interp(mlp(gather(x)))), arXiv:1810.12348; extent 0 is global.

    Warns if the arguments describe a module of another paper.
    """
    if use_mlp and not extra_params and extent == 0:
        warnings.warn("this is Squeeze-and-Excitation, not Gather-Excite", stacklevel=2)
    context = _learned(x, state, extent) if extra_params else _windows_mean(x, extent)
    if gather_relu:
        context = context.relu()
    if use_mlp:
        context = _mlp(context, state, "mlp.")
    rows, columns = (
        torch.arange(size, device=x.device) * gates // size
        for size, gates in zip(x.shape[2:], context.shape[2:], strict=True)
    )
    return x * context[:, :, rows][..., columns].sigmoid()


def ge_theta_minus(x: Tensor, state: State, extent: int = 0) -> Tensor:
    return gather_excite(x, state, extent=extent, use_mlp=False)


def ge_theta(x: Tensor, state: State, extent: int = 0) -> Tensor:
    return gather_excite(x, state, True, extent, use_mlp=False)


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
        return _batch_norm((x * weight).sum((2, 3), keepdim=True), state, "gather.norm1")
    halvings = extent.bit_length() - 1
    for i in range(1, halvings + 1):
        weight = state[f"gather.conv{i}.weight"]
        x = F.conv2d(x, weight, stride=2, padding=1, groups=channels)
        x = _batch_norm(x, state, f"gather.norm{i}")
        x = x.relu() if i < halvings else x
    return x


def _batch_norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def _mlp(x: Tensor, state: State, prefix: str) -> Tensor:
    """Two 1×1 convolutions with a ReLU between. Each is one matrix for all positions."""
    for name in ("fc1", "fc2"):
        weight, bias = state[f"{prefix}{name}.weight"][:, :, 0, 0], state[f"{prefix}{name}.bias"]
        x = torch.einsum("nchw,dc->ndhw", x, weight) + bias[:, None, None]
        x = x.relu() if name == "fc1" else x
    return x
