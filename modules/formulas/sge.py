"""Spatial group-wise enhance, arXiv:1905.09646, one group after the other."""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor

from .parts import State


def sge(x: Tensor, state: State, groups: int | None = None, eps: float = 1e-5) -> Tensor:
    enhanced = []
    for g, part in enumerate(x.chunk(groups or gcd(64, x.shape[1]), dim=1)):
        vectors = part.flatten(2)  # N×C/G×H·W
        likeness = torch.einsum("ncp,nc->np", vectors, vectors.mean(2))
        mean = likeness.mean(1, keepdim=True)
        deviation = (likeness - mean).square().mean(1, keepdim=True).sqrt()
        scores = state["weight"][g] * ((likeness - mean) / (deviation + eps))[:, None]
        enhanced.append(part * (scores + state["bias"][g]).sigmoid().view_as(part[:, :1]))
    return torch.cat(enhanced, dim=1)
