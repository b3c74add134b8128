"""Weights for tests: seeded, and none of them at an initial value that would hide a fault."""

import torch
from torch import nn


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """`module` with every parameter and every running statistic drawn anew (zeros, ones gone)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            if name.endswith("running_var"):
                drawn = 0.5 + drawn.abs()
            tensor.copy_(0.5 * drawn)
    return module
