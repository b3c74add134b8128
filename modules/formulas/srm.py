"""Style-based recalibration, arXiv:1903.10829."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State, batch_norm


def srm(x: Tensor, state: State, eps: float = 1e-5) -> Tensor:
    mean = x.mean((2, 3))
    variance = (x * x).mean((2, 3)) - mean * mean
    style = torch.stack([mean, (variance + eps).sqrt()], dim=2)  # N×C×2
    weight = torch.cat([state["mean_weight"], state["std_weight"]], dim=1)[:, :, 0]  # C×2
    scores = (style * weight).sum(2)[:, :, None, None]
    return x * batch_norm(scores, state, "norm").sigmoid()
