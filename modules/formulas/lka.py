"""Large-kernel attention, arXiv:2202.09741."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .parts import State
from .steps import Changes, Step, same
from .taps import conv


def lka(
    x: Tensor,
    state: State,
    kernel_size: int = 21,
    dilation: int = 3,
    spread: float = 1.0,
    order: str = "near far mix",
    between: Step = same,
    gate: Step = same,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Tensor:
    """x ⊙ conv1×1(dw_d(dw(x))). spread: 0 is no dilation. between: follows each depthwise step."""
    z = x
    for name in order.split():
        far = 1 + round(spread * (dilation - 1))
        z = conv(z, state, name, far if name == "far" else 1)
        z = z if name == "mix" else between(z)
    return join(x, gate(z))


VARIANTS: Mapping[str, Changes] = {
    "lka": {
        "the second depthwise convolution has no dilation": {"spread": 0.0},
        "the dilated convolution comes first": {"order": "far near mix"},
        "the 1×1 convolution comes first": {"order": "mix near far"},
        "the 1×1 convolution is missing": {"order": "near far"},
        "a ReLU follows each depthwise convolution": {"between": torch.relu},
        "a sigmoid makes the attention a gate between 0 and 1": {"gate": torch.sigmoid},
        "tanh follows the attention": {"gate": torch.tanh},
        "the attention is added to the input, not multiplied": {"join": torch.add},
    }
}
