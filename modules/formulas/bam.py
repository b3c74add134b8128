"""BAM: one gate from a channel branch and a spatial branch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .parts import State, batch_norm, pointwise
from .steps import Changes, Step, activations, conv, gates, mean_hw, same, squeezes


def bam(
    x: Tensor,
    state: State,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
    gate: Step = torch.sigmoid,
    squeeze: Step = mean_hw,
    act: Step = torch.relu,
    dilated: Sequence[int] = (3, 6),
    dilation: int = 4,
) -> Tensor:
    """x + x ⊙ σ(Mc(x) · Ms(x)), arXiv:1807.06514 with the product of the authors' code.

    dilated: the positions of the 3×3 in the spatial branch.
    """
    inside = act(batch_norm(pointwise(squeeze(x), state, "channel.1"), state, "channel.2"))
    per_channel = pointwise(inside, state, "channel.4")  # N×C×1×1
    y = act(batch_norm(pointwise(x, state, "spatial.0"), state, "spatial.1"))
    for place in dilated:
        y = conv(y, state, f"spatial.{place}", dilation)
        y = act(batch_norm(y, state, f"spatial.{place + 1}"))
    per_place = pointwise(y, state, "spatial.9")  # N×1×H×W
    return x + x * gate(join(per_channel, per_place))


def bam_paper(
    x: Tensor,
    state: State,
    dilation: int = 4,
    join: Callable[[Tensor, Tensor], Tensor] = torch.add,
    gate: Step = torch.sigmoid,
    squeeze: Step = mean_hw,
    act: Step = torch.relu,
) -> Tensor:
    """x + x ⊙ σ(Mc(x) + Ms(x)): one norm at the end of each branch, ReLU between."""
    inside = pointwise(act(pointwise(squeeze(x), state, "channel.1")), state, "channel.3")
    per_channel = batch_norm(inside, state, "channel.4")
    y = act(pointwise(x, state, "spatial.0"))
    for place in (2, 4):
        y = act(conv(y, state, f"spatial.{place}", dilation))
    per_place = batch_norm(pointwise(y, state, "spatial.6"), state, "spatial.7")
    return x + x * gate(join(per_channel, per_place))


def _gates_joined(a: Tensor, b: Tensor) -> Tensor:
    return (a.sigmoid() * b.sigmoid()).logit()


def _channel_alone(a: Tensor, b: Tensor) -> Tensor:
    return a


def _spatial_alone(a: Tensor, b: Tensor) -> Tensor:
    return b


COMMON: Changes = {
    **gates(),
    **{f"the dilation is {d}, not 4": {"dilation": d} for d in (1, 2, 3, 8)},
    "the channel branch is missing": {"join": _spatial_alone},
    "the spatial branch is missing": {"join": _channel_alone},
    **squeezes(),
}
FORMS: Mapping[str, Changes] = {"bam_paper": {"it has no ReLU": {"act": same}}}
VARIANTS: Mapping[str, Changes] = {
    "bam": {
        "the branches are added, not multiplied": {"join": torch.add},
        "each branch has its sigmoid before the product": {"join": _gates_joined},
        **COMMON,
        **activations(),
        "the spatial branch has one 3×3, not two": {"dilated": (3,)},
    },
    "bam_paper": {
        "the branches are multiplied, not added": {"join": torch.mul},
        "each branch has its sigmoid, and they are multiplied": {"join": _gates_joined},
        **COMMON,
        **{words: change for words, change in activations().items() if change["act"] is not same},
    },
}
