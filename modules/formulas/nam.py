"""NAM, arXiv:2111.12419."""

from __future__ import annotations

from torch import Tensor

from .parts import State, batch_norm


def nam(x: Tensor, state: State, spatial: bool = True) -> Tensor:
    """z = x ⊙ σ(w(γ) ⊙ bn(x)), z ⊙ σ(w(λ) ⊙ bnₛ(z)), w(γ) = |γ| / Σ|γ|."""
    x = x * (_share(state, "channel")[:, None, None] * batch_norm(x, state, "channel")).sigmoid()
    if not spatial:
        return x
    positions = x.flatten(2).transpose(1, 2)[..., None]  # N×HW×C×1
    logits = _share(state, "spatial")[:, None, None] * batch_norm(positions, state, "spatial")
    return x * logits[..., 0].transpose(1, 2).reshape(x.shape).sigmoid()


def _share(state: State, name: str) -> Tensor:
    scale = state[f"{name}.weight"]
    return scale.abs() / sum(abs(float(each)) for each in scale)
