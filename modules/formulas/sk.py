"""Selective kernel, arXiv:1903.06586."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .parts import State, batch_norm
from .steps import Changes, Step, activations, mean_hw, same, squeezes
from .taps import conv


def sk(
    x: Tensor,
    state: State,
    groups: int = 32,
    rd_ratio: float = 1 / 16,
    rd_least: int = 32,
    dilation: int = 2,
    path: Step = torch.relu,
    squeeze: Step = mean_hw,
    norm: bool = True,
    act: Step = torch.relu,
    share: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """a ⊙ u₁ + (1 − a) ⊙ u₂, a = e^{A z} / (e^{A z} + e^{B z}), z = relu(bn(W mean(u₁ + u₂))).

    path: ends each of the two paths. share: of the first path, from the scores of both.
    """
    first, second = (
        path(batch_norm(conv(x, state, f"paths.{i}.0", step), state, f"paths.{i}.1"))
        for i, step in enumerate((1, dilation))
    )
    z = conv(squeeze(first + second), state, "reduce.0")
    z = act(batch_norm(z, state, "reduce.1") if norm else z)
    scores = conv(z, state, "select")
    a, b = scores[:, : x.shape[1]], scores[:, x.shape[1] :]
    if share is not None:
        return share(a, b) * first + share(b, a) * second
    return (a.exp() * first + b.exp() * second) / (a.exp() + b.exp())


def _own_sigmoid(one: Tensor, other: Tensor) -> Tensor:
    return one.sigmoid()


def _over_channels(one: Tensor, other: Tensor) -> Tensor:
    return one.softmax(1)


def _half(one: Tensor, other: Tensor) -> Tensor:
    return torch.full_like(one, 0.5)


def _of_the_other(one: Tensor, other: Tensor) -> Tensor:
    return (other - one).sigmoid()


VARIANTS: Mapping[str, Changes] = {
    "sk": {
        "the softmax is over the channels, not over the paths": {"share": _over_channels},
        "a sigmoid of each path stands for the softmax over both": {"share": _own_sigmoid},
        "the paths are averaged, not selected": {"share": _half},
        "each path has the weight of the other": {"share": _of_the_other},
        "the second path has no dilation": {"dilation": 1},
        "the ReLU of the paths is missing": {"path": same},
        "the norm before the selection is missing": {"norm": False},
        **activations(of=" before the selection"),
        **squeezes(),
    }
}
