"""Coordinate attention: a gate for each row times one for each column."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import State, batch_norm, pointwise
from .steps import Changes, Step, activations, gates, same


def mean_w(x: Tensor) -> Tensor:
    """N×C×H×W to N×C×H×1."""
    return x.mean(3, keepdim=True)


def mean_h(x: Tensor) -> Tensor:
    """N×C×H×W to N×C×1×W."""
    return x.mean(2, keepdim=True)


def coord(
    x: Tensor,
    state: State,
    over_width: Step = mean_w,
    over_height: Step = mean_h,
    act: Step = F.hardswish,
    gate: Step = torch.sigmoid,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Tensor:
    """x ⊙ σ(F_h(f_h)) ⊙ σ(F_w(f_w)), f = δ(bn(F₁(mean over the other axis))), arXiv:2103.02907."""

    def logits(pooled: Tensor, last: str) -> Tensor:
        return pointwise(
            act(batch_norm(pointwise(pooled, state, "conv1"), state, "bn1")), state, last
        )

    rows, columns = logits(over_width(x), "conv_h"), logits(over_height(x), "conv_w")
    return x * join(gate(rows), gate(columns))


def _crossed(rows: Tensor, columns: Tensor) -> Tensor:
    """Needs a square map."""
    return rows.transpose(2, 3) * columns.transpose(2, 3)


def _rows_alone(rows: Tensor, columns: Tensor) -> Tensor:
    return rows


def _columns_alone(rows: Tensor, columns: Tensor) -> Tensor:
    return columns


def most_w(x: Tensor) -> Tensor:
    return x.amax(3, keepdim=True)


def most_h(x: Tensor) -> Tensor:
    return x.amax(2, keepdim=True)


VARIANTS: Mapping[str, Changes] = {
    "coord": {
        "the gate of the rows is on the columns, and that of the columns on the rows": {
            "join": _crossed
        },
        "ReLU stands for hard swish": {"act": torch.relu},
        "hard swish is missing": {"act": same},
        **{
            words.replace("the ReLU", "hard swish"): changed
            for words, changed in activations().items()
            if changed["act"] not in (same, F.hardswish)
        },
        "the two gates are added, not multiplied": {"join": torch.add},
        "the gate of the columns is missing": {"join": _rows_alone},
        "the gate of the rows is missing": {"join": _columns_alone},
        **gates(),
        "the maximum is taken, not the mean": {"over_width": most_w, "over_height": most_h},
    }
}
