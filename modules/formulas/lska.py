"""Large separable kernel attention, arXiv:2309.01439."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .parts import State
from .steps import Changes, Step, same
from .taps import conv


def lska(
    x: Tensor,
    state: State,
    kernel_size: int = 23,
    dilation: int = 3,
    spread: float = 1.0,
    mixed: bool = True,
    between: Step = same,
    gate: Step = same,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Tensor:
    """x ⊙ conv1×1 of the strips 1×m, m×1, then 1×n and n×1 with dilation.

    spread: 0 is no dilation. between: follows each strip.
    """
    z = x
    far = 1 + round(spread * (dilation - 1))
    for i, step in enumerate((1, 1, far, far)):
        z = between(conv(z, state, f"strips.{i}", step))
    return join(x, gate(conv(z, state, "mix") if mixed else z))


VARIANTS: Mapping[str, Changes] = {
    "lska": {
        "the last two strips have no dilation": {"spread": 0.0},
        "the 1×1 convolution is missing": {"mixed": False},
        "a ReLU follows each strip": {"between": torch.relu},
        "a sigmoid makes the attention a gate between 0 and 1": {"gate": torch.sigmoid},
        "tanh follows the attention": {"gate": torch.tanh},
        "the attention is added to the input, not multiplied": {"join": torch.add},
    }
}
