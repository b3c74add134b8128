"""The forms of Gather-Excite, arXiv:1810.12348."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import State, batch_norm, mlp
from .steps import Changes, Step, activations, gates, inside, same


def excite(x: Tensor, context: Tensor, gate: Step = torch.sigmoid, mode: str = "nearest") -> Tensor:
    """x ⊙ σ(interp(context)), the nearest position by default."""
    if mode != "nearest":
        return x * gate(F.interpolate(context, size=x.shape[2:], mode=mode, align_corners=False))
    rows, columns = (
        torch.arange(size, device=x.device) * positions // size
        for size, positions in zip(x.shape[2:], context.shape[2:], strict=True)
    )
    return x * gate(context[:, :, rows][..., columns])


def windows_mean(x: Tensor, extent: int) -> Tensor:
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


def learned(
    x: Tensor, state: State, extent: int, act: Step = torch.relu, last: Step = same
) -> Tensor:
    """log₂e × (depthwise 3×3, stride 2 → norm), ReLU between. The global one has one position."""
    channels = x.shape[1]
    if extent == 0:
        weight = state["gather.conv1.weight"][:, 0]  # C×H×W
        return last(batch_norm((x * weight).sum((2, 3), keepdim=True), state, "gather.norm1"))
    halvings = extent.bit_length() - 1
    for i in range(1, halvings + 1):
        weight, bias = state[f"gather.conv{i}.weight"], state.get(f"gather.conv{i}.bias")
        x = F.conv2d(x, weight, bias, stride=2, padding=1, groups=channels)
        x = batch_norm(x, state, f"gather.norm{i}")
        x = act(x) if i < halvings else last(x)
    return x


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
    context = learned(x, state, extent) if extra_params else windows_mean(x, extent)
    if gather_relu:
        context = context.relu()
    return excite(x, mlp(context, state, "mlp.") if use_mlp else context)


def ge_theta_minus(
    x: Tensor,
    state: State,
    extent: int = 0,
    gather: Callable[[Tensor, int], Tensor] = windows_mean,
    end: Callable[[Tensor, Tensor], Tensor] = excite,
) -> Tensor:
    """x ⊙ σ(interp(mean of the windows))."""
    return end(x, gather(x, extent))


def ge_theta(
    x: Tensor,
    state: State,
    extent: int = 0,
    gather: Callable[[Tensor, State, int], Tensor] = learned,
    end: Callable[[Tensor, Tensor], Tensor] = excite,
) -> Tensor:
    """x ⊙ σ(interp(depthwise convolutions))."""
    return end(x, gather(x, state, extent))


def ge_theta_plus(
    x: Tensor,
    state: State,
    extent: int = 0,
    gather: Callable[[Tensor, State, int], Tensor] = learned,
    before: Step = torch.relu,
    act: Step = torch.relu,
    end: Callable[[Tensor, Tensor], Tensor] = excite,
) -> Tensor:
    """x ⊙ σ(interp(mlp(relu(depthwise convolutions))))."""
    context = before(gather(x, state, extent))
    return end(x, mlp(context, state, "mlp.", act))


def _padded_mean(x: Tensor, extent: int) -> Tensor:
    """The means of the windows, with zeros around the map."""
    if extent == 0:
        return x.mean((2, 3), keepdim=True)
    return F.avg_pool2d(x, 2 * extent - 1, extent, padding=extent - 1)


def _blocks_mean(x: Tensor, extent: int) -> Tensor:
    """The means of e×e blocks without overlap."""
    return F.avg_pool2d(x, extent or list(x.shape[2:]), ceil_mode=True)


def _windows_maximum(x: Tensor, extent: int) -> Tensor:
    if extent == 0:
        return x.amax((2, 3), keepdim=True)
    return F.max_pool2d(x, 2 * extent - 1, extent, padding=extent - 1)


ENDS: Changes = inside(
    "end",
    excite,
    {"the gate is interpolated bilinearly, not from the nearest": {"mode": "bilinear"}, **gates()},
)
GATHERS: Changes = inside(
    "gather",
    learned,
    {
        "the ReLU between the convolutions is missing": {"act": same},
        "a ReLU follows the last convolution of the gather": {"last": torch.relu},
    },
)
VARIANTS: Mapping[str, Changes] = {
    "ge_theta_minus": {
        "the mean counts zeros around the map": {"gather": _padded_mean},
        "the windows are e×e blocks, not (2e−1)×(2e−1)": {"gather": _blocks_mean},
        "the maximum of the windows is taken, not the mean": {"gather": _windows_maximum},
        **ENDS,
    },
    "ge_theta": {**GATHERS, **ENDS},
    "ge_theta_plus": {
        "the ReLU before the MLP is missing": {"before": same},
        **activations(of=" of the MLP"),
        **GATHERS,
        **ENDS,
    },
}
