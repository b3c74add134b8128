"""CBAM: a gate for each channel, then one for each position."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .parts import State, batch_norm, mlp
from .steps import (
    Changes,
    Step,
    activations,
    both_hw,
    conv,
    gates,
    inside,
    mean_c,
    mean_hw,
    most_c,
    most_hw,
)

Gate = Callable[[Tensor, State], Tensor]


def channel_gate(
    x: Tensor,
    state: State,
    squeezes: Sequence[Step] = (mean_hw, most_hw),
    act: Step = torch.relu,
    gate: Step = torch.sigmoid,
    each: Step | None = None,
) -> Tensor:
    """σ(mlp(mean(x)) + mlp(max(x))): N×C×1×1. each: a gate before the sum, in place of `gate`."""
    logits = [mlp(squeeze(x), state, "channel.", act) for squeeze in squeezes]
    if each is not None:
        return torch.stack([each(one) for one in logits]).sum(0)
    return gate(torch.stack(logits).sum(0))


def spatial_gate(
    z: Tensor,
    state: State,
    maps: Sequence[Step] = (mean_c, most_c),
    gate: Step = torch.sigmoid,
    norm: str | None = "spatial.conv.bn",
) -> Tensor:
    """σ(bn(7×7([mean_c(z), max_c(z)]))): N×1×H×W."""
    y = conv(torch.cat([pool(z) for pool in maps], dim=1), state, "spatial.conv.conv")
    return gate(y if norm is None else batch_norm(y, state, norm))


def cbam(
    x: Tensor,
    state: State,
    channel: Gate = channel_gate,
    spatial: Gate = spatial_gate,
    order: str = "channel, spatial",
) -> Tensor:
    """z = x ⊙ σ(mlp(mean(x)) + mlp(max(x))), z ⊙ σ(bn(7×7([mean_c(z), max_c(z)]))),
    arXiv:1807.06521."""
    if order == "spatial, channel":
        z = x * spatial(x, state)
        return z * channel(z, state)
    z = x * channel(x, state)
    match order:
        case "both of the input":
            return z * spatial(x, state)
        case "added":
            return z + x * spatial(x, state)
        case "residual":
            return z * spatial(z, state) + z
        case "channel alone":
            return z
    return z * spatial(z, state)


FORMS: Mapping[str, Changes] = {
    "cbam": inside(
        "spatial",
        spatial_gate,
        {
            "its 7×7 takes the maximum first, then the mean": {"maps": (most_c, mean_c)},
            "no norm follows its 7×7": {"norm": None},
            "its 7×7 takes the maximum first, and no norm follows": {
                "maps": (most_c, mean_c),
                "norm": None,
            },
        },
    )
}
VARIANTS: Mapping[str, Changes] = {
    "cbam": {
        "x1 + x1 ⊙ gate: the map after the channel gate is added again": {"order": "residual"},
        **inside(
            "channel",
            channel_gate,
            {
                "the max-pool branch of the channel gate is missing": {"squeezes": (mean_hw,)},
                "the mean branch of the channel gate is missing": {"squeezes": (most_hw,)},
                "mean and maximum are added before the MLP, not after it": {"squeezes": (both_hw,)},
                "each branch of the channel gate has a sigmoid before the sum": {
                    "each": torch.sigmoid
                },
                **gates(of=" of the channel gate"),
                **activations(of=" of the MLP"),
            },
        ),
        "the spatial gate comes first": {"order": "spatial, channel"},
        "the spatial gate is computed from the input, not from the gated map": {
            "order": "both of the input"
        },
        "the two gated maps are added, not nested": {"order": "added"},
        "the spatial gate is missing": {"order": "channel alone"},
        **inside(
            "spatial",
            spatial_gate,
            {
                "the maximum over the channels is missing": {"maps": (mean_c,)},
                "the mean over the channels is missing": {"maps": (most_c,)},
                **gates(of=" of the spatial gate"),
            },
        ),
    }
}
