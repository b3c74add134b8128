"""Random weights for tests: initial values such as 0 and 1 would hide faults."""

import torch
from torch import nn


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """`module` with random values in every parameter and every running statistic."""
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
