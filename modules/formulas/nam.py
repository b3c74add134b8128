"""NAM, arXiv:2111.12419."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .parts import State, batch_norm
from .steps import Changes, Step, after_relu, gates, same


def nam(
    x: Tensor,
    state: State,
    spatial: bool = True,
    size: Step = torch.abs,
    shared: bool = True,
    norm: bool = True,
    gate: Step = torch.sigmoid,
    second: Step = torch.sigmoid,
) -> Tensor:
    """z = x ⊙ σ(w(γ) ⊙ bn(x)), z ⊙ σ(w(λ) ⊙ bnₛ(z)), w(γ) = |γ| / Σ|γ|.

    shared: whether w is divided by its sum. gate, second: the gates over channels and positions.
    """

    def share(name: str) -> Tensor:
        scale = size(state[f"{name}.weight"])
        return (scale / scale.sum() if shared else scale)[:, None, None]

    x = x * gate(share("channel") * (batch_norm(x, state, "channel") if norm else x))
    if not spatial:
        return x
    positions = x.flatten(2).transpose(1, 2)[..., None]  # N×HW×C×1
    logits = share("spatial") * (batch_norm(positions, state, "spatial") if norm else positions)
    return x * second(logits[..., 0].transpose(1, 2).reshape(x.shape))


FORMS: Mapping[str, Changes] = {
    "nam": {
        "it has the gate over channels alone": {"spatial": False},
        "it has the gate over channels alone, with a ReLU before the sigmoid": {
            "spatial": False,
            "gate": after_relu,
        },
        "the sign of γ stays: w = γ / Σγ": {"size": same},
        "it has the gate over channels alone, and the sign of γ stays": {
            "spatial": False,
            "size": same,
        },
        "a ReLU stands before its first sigmoid": {"gate": after_relu},
    }
}
VARIANTS: Mapping[str, Changes] = {
    "nam": {
        "w is not divided by its sum": {"shared": False},
        "w is γ itself": {"size": same, "shared": False},
        "the norm is missing": {"norm": False},
        **{
            words: {**change, "second": change["gate"]}
            for words, change in gates().items()
            if change["gate"] is not after_relu
        },
    }
}
