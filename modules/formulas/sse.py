"""Skip-squeeze-and-excitation, arXiv:2110.07641."""

from __future__ import annotations

from torch import Tensor

from .parts import State, batch_norm


def sse(x: Tensor, state: State) -> Tensor:
    mean = batch_norm(x.mean((2, 3), keepdim=True), state, "norm")[:, :, 0, 0]  # of the normed map
    gate = (mean @ state["fc.weight"][:, :, 0, 0].T).sigmoid()
    return batch_norm(x, state, "norm") * gate[:, :, None, None]
