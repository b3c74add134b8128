"""What is timed in training is a whole step."""

from __future__ import annotations

import pytest
import torch

from attn_bench.catalog.registry import builtin
from attn_bench.model.case import Case, Network, Shape, Variant
from attn_bench.worker.build import Builder
from attn_bench.worker.devices.base import open_device

CASES = {
    "module": Case(Variant("se"), Shape(2, 16, 8, 8), mode="training"),
    "network": Case(Variant("se"), Shape(2, 3, 64, 64), Network("resnet18"), mode="training"),
}


@pytest.mark.parametrize("what", CASES)
def test_a_step_of_training_gives_every_gradient(what: str) -> None:
    """The call that is timed gives one of each parameter and, of a module alone, of its input."""
    built = Builder(open_device("cpu"), builtin()).build(CASES[what])
    with built.mode():
        gradients = built.call()
    shapes = [parameter.shape for parameter in built.module.parameters()]
    if what == "module":
        shapes = [built.x.shape, *shapes]
    assert [gradient.shape for gradient in gradients] == shapes
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
