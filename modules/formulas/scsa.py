"""SCSA, arXiv:2407.05128."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State
from .taps import conv, conv_1d, group_norm


def scsa(x: Tensor, state: State, window: int = 7) -> Tensor:
    """z = x ⊙ σ(gn₄(dw(rows))) ⊙ σ(gn₄(dw(columns))), z ⊙ σ(mean(softmax(q kᵀ / √C) v))."""
    gates = {}
    for axis, name in ((3, "norm_h"), (2, "norm_w")):
        quarters = x.mean(axis).split(x.shape[1] // 4, dim=1)
        strips = [conv_1d(part, state, f"convs.{i}") for i, part in enumerate(quarters)]
        gates[name] = group_norm(torch.cat(strips, dim=1), state, name, 4).sigmoid()
    z = x * gates["norm_h"][..., None] * gates["norm_w"][:, :, None]

    small = group_norm(_windows(z, window), state, "norm", 1)
    q, k, v = (conv(small, state, name).flatten(2) for name in ("query", "key", "value"))
    scores = torch.einsum("nip,njp->nij", q, k) / x.shape[1] ** 0.5
    weights = scores.exp() / scores.exp().sum(2, keepdim=True)
    attended = torch.einsum("nij,njp->nip", weights, v).mean(2)
    return z * attended.sigmoid()[..., None, None]


def _windows(x: Tensor, window: int) -> Tensor:
    """The means over whole windows; one window along a side that is smaller."""
    height, width = (min(window, size) for size in x.shape[2:])
    rows = [
        torch.stack(
            [
                x[:, :, i : i + height, j : j + width].mean((2, 3))
                for j in range(0, x.shape[3] - width + 1, width)
            ],
            dim=-1,
        )
        for i in range(0, x.shape[2] - height + 1, height)
    ]
    return torch.stack(rows, dim=2)
