"""Peak memory on a CPU is exact: the running maximum of every allocation."""

from __future__ import annotations

import pytest
import torch

from attn_bench.catalog.registry import builtin
from attn_bench.worker.devices.base import open_device

CPU = open_device("cpu")
X = torch.randn(8, 256, 28, 28)


def multiple(name: str, extent: int | None = None) -> float:
    module = builtin().get(name).build(256, (28, 28), extent).eval()
    with torch.inference_mode():
        return CPU.peak_memory_bytes(lambda: module(X)) / X.nbytes


def test_a_copy_takes_its_input_once() -> None:
    """The floor: the output, and nothing else."""
    assert multiple("identity") == 1.0


def test_squeeze_and_excitation() -> None:
    """SE needs its output and a few vectors: 1.003 times the input."""
    assert multiple("se") == pytest.approx(1.003, abs=5e-4)


def test_what_is_released_is_not_counted_twice() -> None:
    """Ten temporaries one after the other peak at two of them."""

    def call() -> torch.Tensor:
        x = X
        for _ in range(10):
            x = torch.neg(x)
        return x

    assert CPU.peak_memory_bytes(call) == 2 * X.nbytes


def test_it_repeats_to_the_byte() -> None:
    """Two measurements of one module are equal."""
    assert multiple("cbam") == multiple("cbam")
