"""Squeeze-and-Excitation, ECA and GCNet's block: gates from one value a channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import State, mlp, pointwise
from .steps import Changes, Step, activations, gates, mean_hw, same, squeezes


def se(
    x: Tensor,
    state: State,
    squeeze: Step = mean_hw,
    act: Step = torch.relu,
    gate: Step = torch.sigmoid,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Tensor:
    """x ⊙ σ(W₂ relu(W₁ mean(x))), arXiv:1709.01507."""
    return join(x, gate(mlp(squeeze(x), state, "", act)))


def eca(
    x: Tensor,
    state: State,
    squeeze: Step = mean_hw,
    gate: Step = torch.sigmoid,
    padding: str = "constant",
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
    kernel_size: int = 0,
) -> Tensor:
    """x ⊙ σ(a convolution of the means along the channels), arXiv:1910.03151.

    kernel_size: part of the common signature; the weight has it.
    """
    weight = state["conv.weight"]
    side = weight.shape[-1] // 2
    means = F.pad(squeeze(x)[:, None, :, 0, 0], (side, side), mode=padding)  # N×1×C+2·side
    logits = F.conv1d(means, weight, state.get("conv.bias"))[:, 0, :, None, None]
    return join(x, gate(logits))


def gc(
    x: Tensor,
    state: State,
    axes: tuple[int, ...] = (2, 3),
    eps: float | None = 1e-6,
    act: Step = torch.relu,
    gate: Step = same,
    join: Callable[[Tensor, Tensor], Tensor] = torch.add,
) -> Tensor:
    """x + W₂ relu(ln(W₁ Σ softmax(w·x) x)), arXiv:1904.11492, equation 7.

    axes: where the softmax sums to 1.
    eps: ε of the layer norm; None is no norm.
    """
    logits = pointwise(x, state, "conv_attn").exp()  # N×1×H×W
    share = logits / logits.sum(axes, keepdim=True)
    inside = pointwise((x * share).sum((2, 3), keepdim=True), state, "mlp_add.fc1")  # N×w×1×1
    if eps is not None:
        centred = inside - inside.mean(1, keepdim=True)
        inside = centred / (centred.square().mean(1, keepdim=True) + eps).sqrt()
        weight, bias = (state[f"mlp_add.norm.{part}"] for part in ("weight", "bias"))
        inside = inside * weight[:, None, None] + bias[:, None, None]
    return join(x, gate(pointwise(act(inside), state, "mlp_add.fc2")))


def _gated(x: Tensor, gate: Tensor) -> Tensor:
    return x * gate.sigmoid()


ADDED = {"the gate is added to the input, not multiplied": {"join": torch.add}}
FORMS: Mapping[str, Changes] = {"gc": {"ε of its layer norm is 1e-5": {"eps": 1e-5}}}
VARIANTS: Mapping[str, Changes] = {
    "se": {**gates(), **activations(), **squeezes(), **ADDED},
    "eca": {
        **gates(),
        "the convolution pads circularly, not with zeros": {"padding": "circular"},
        **squeezes(),
        **ADDED,
    },
    "gc": {
        "the context is multiplied as a gate, not added": {"join": _gated},
        "the context is multiplied, not added": {"join": torch.mul},
        "the softmax is over the channels, not over the positions": {"axes": (1,)},
        "the softmax is over each row, not over the map": {"axes": (3,)},
        "the softmax is over each column, not over the map": {"axes": (2,)},
        "the layer norm is missing": {"eps": None},
        "a sigmoid follows the last 1×1": {"gate": torch.sigmoid},
        **activations(),
    },
}
