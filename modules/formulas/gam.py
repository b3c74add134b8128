"""Global attention mechanism, arXiv:2112.05561."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State, batch_norm, convolution, pointwise
from .steps import Changes, Step, activations, gates, same


def gam(
    x: Tensor,
    state: State,
    rd_ratio: float = 1 / 16,
    act: Step = torch.relu,
    channel: Step = torch.sigmoid,
    spatial: Step = torch.sigmoid,
    norms: bool = True,
    order: str = "channel, spatial",
) -> Tensor:
    """z = x ⊙ σ(W₂ relu(W₁ x)), z ⊙ σ(bn(7×7(relu(bn(7×7(z)))))), W at each position.

    channel, spatial: the functions of the two gates.
    """

    def of_channels(y: Tensor) -> Tensor:
        return channel(pointwise(act(pointwise(y, state, "channel.0")), state, "channel.2"))

    def of_positions(y: Tensor) -> Tensor:
        for i in (0, 3):
            y = convolution(y, state, f"spatial.{i}")
            y = batch_norm(y, state, f"spatial.{i + 1}") if norms else y
            y = act(y) if i == 0 else y
        return spatial(y)

    match order:
        case "spatial, channel":
            z = x * of_positions(x)
            return z * of_channels(z)
        case "both of the input":
            return x * of_channels(x) * of_positions(x)
    z = x * of_channels(x)
    return z * of_positions(z)


FORMS: Mapping[str, Changes] = {
    "gam": {
        "its gate over channels has no sigmoid": {"channel": same},
        "it has no norms": {"norms": False},
        "its gate over channels has no sigmoid, and it has no norms": {
            "channel": same,
            "norms": False,
        },
    }
}
VARIANTS: Mapping[str, Changes] = {
    "gam": {
        "the gate over positions comes first": {"order": "spatial, channel"},
        "the gate over positions is computed from the input, not from the gated map": {
            "order": "both of the input"
        },
        **{
            words: change
            for words, change in gates("channel", " of the gate over channels").items()
            if change["channel"] is not same
        },
        **activations(),
        **gates("spatial", " of the gate over positions"),
    }
}
