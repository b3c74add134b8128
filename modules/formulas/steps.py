"""The steps of formulas that copies get wrong, and the usual mistakes in them.

A formula takes its steps as keyword arguments, with the paper's as defaults. Beside it stand two
tables, by the formula's name: `FORMS` has what the paper leaves open, and `VARIANTS` the known
mistakes. Both map words to the arguments that differ; `verify FILE.py:Class --as NAME` tries them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import State

Step = Callable[[Tensor], Tensor]
Changes = Mapping[str, Mapping[str, Any]]  # words -> the arguments that differ


def same(x: Tensor) -> Tensor:
    return x


def mean_hw(x: Tensor) -> Tensor:
    """N×C×H×W to N×C×1×1."""
    return x.mean((2, 3), keepdim=True)


def most_hw(x: Tensor) -> Tensor:
    """N×C×H×W to N×C×1×1."""
    return x.amax((2, 3), keepdim=True)


def both_hw(x: Tensor) -> Tensor:
    """The sum of mean and maximum: N×C×H×W to N×C×1×1."""
    return mean_hw(x) + most_hw(x)


def mean_c(x: Tensor) -> Tensor:
    """N×C×H×W to N×1×H×W."""
    return x.mean(1, keepdim=True)


def most_c(x: Tensor) -> Tensor:
    """N×C×H×W to N×1×H×W."""
    return x.amax(1, keepdim=True)


def twice(x: Tensor) -> Tensor:
    return x.sigmoid().sigmoid()


def after_relu(x: Tensor) -> Tensor:
    return x.relu().sigmoid()


def over_channels(x: Tensor) -> Tensor:
    return x.softmax(1)


def conv(x: Tensor, state: State, name: str, dilation: int = 1) -> Tensor:
    """A convolution that keeps the size of the map; its bias counts if the state has one."""
    weight = state[f"{name}.weight"]
    padding = [side // 2 * dilation for side in weight.shape[2:]]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), padding=padding, dilation=dilation)


def gates(name: str = "gate", of: str = "") -> Changes:
    """The mistakes in a sigmoid, which is the argument `name`. of: as in " of the channel gate"."""
    return {
        f"the sigmoid{of} is missing": {name: same},
        f"the sigmoid{of} is applied twice": {name: twice},
        f"a hard sigmoid stands for the sigmoid{of}": {name: F.hardsigmoid},
        f"tanh stands for the sigmoid{of}": {name: torch.tanh},
        f"a softmax over the channels stands for the sigmoid{of}": {name: over_channels},
        f"a ReLU stands before the sigmoid{of}": {name: after_relu},
    }


def activations(name: str = "act", of: str = "") -> Changes:
    """The mistakes in a ReLU, which is the argument `name`."""
    return {
        f"the ReLU{of} is missing": {name: same},
        f"GELU stands for the ReLU{of}": {name: F.gelu},
        f"SiLU stands for the ReLU{of}": {name: F.silu},
        f"hard swish stands for the ReLU{of}": {name: F.hardswish},
        f"a sigmoid stands for the ReLU{of}": {name: torch.sigmoid},
    }


def squeezes(name: str = "squeeze") -> Changes:
    """The mistakes in a mean over the map, which is the argument `name`."""
    return {
        "the maximum of the map is taken, not its mean": {name: most_hw},
        "the maximum of the map is added to its mean": {name: both_hw},
    }


def inside(name: str, function: Callable[..., Tensor], changes: Changes) -> Changes:
    """Changes of `function`, which is the argument `name` of a formula."""
    return {words: {name: partial(function, **changed)} for words, changed in changes.items()}
