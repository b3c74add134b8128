"""Efficient local attention, arXiv:2403.01123."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .parts import State
from .steps import Changes, Step, gates
from .taps import conv_1d, group_norm


def ela(
    x: Tensor,
    state: State,
    kernel_size: int = 7,
    group_width: int = 1,
    norm_groups: int = 16,
    pool: Callable[[Tensor, int], Tensor] = torch.mean,
    norm: bool = True,
    gate: Step = torch.sigmoid,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> Tensor:
    """x ⊙ σ(gn(F(mean_w(x)))) ⊙ σ(gn(F(mean_h(x))))."""
    gated = []
    for axis in (3, 2):
        strip = conv_1d(pool(x, axis), state, "conv")
        gated.append(gate(group_norm(strip, state, "norm", norm_groups) if norm else strip))
    rows, columns = gated
    return x * join(rows[..., None], columns[:, :, None])


def _rows_alone(rows: Tensor, columns: Tensor) -> Tensor:
    return rows


def _columns_alone(rows: Tensor, columns: Tensor) -> Tensor:
    return columns


VARIANTS: Mapping[str, Changes] = {
    "ela": {
        "the two gates are added, not multiplied": {"join": torch.add},
        "the gate of the columns is missing": {"join": _rows_alone},
        "the gate of the rows is missing": {"join": _columns_alone},
        "the group norm is missing": {"norm": False},
        "the group norm has one group": {"norm_groups": 1},
        "the maximum is taken, not the mean": {"pool": torch.amax},
        **gates(),
    }
}
