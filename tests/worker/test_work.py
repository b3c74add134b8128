"""Work is counted in full, and fvcore's own total is fvcore's own."""

from __future__ import annotations

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from attn_bench.catalog.registry import builtin
from attn_bench.worker.metrics.work import count_work

SHAPE = (2, 64, 16, 16)


class Call(nn.Module):
    """A module around a function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)  # type: ignore[operator,no-any-return]


@pytest.mark.parametrize("name", ["se", "cbam", "ge_theta", "timm/eca", "timm/coord", "timm/nl"])
def test_fvcore_total_is_fvcores(name: str) -> None:
    """`macs_fvcore` equals FlopCountAnalysis(...).total() to the digit."""
    module = builtin().get(name).build(64, (16, 16), None if name != "ge_theta" else 4).eval()
    x = torch.randn(SHAPE)
    expected = FlopCountAnalysis(module, x).unsupported_ops_warnings(False).total()
    assert count_work(module, x).macs_fvcore == expected


def test_squeeze_and_excitation_by_hand() -> None:
    """SE at 256×28×28: 8,192 MACs, and the gate's multiply alone is 200,704 operations."""
    module = builtin().get("se").build(256, (28, 28), None).eval()
    work = count_work(module, torch.randn(1, 256, 28, 28))
    map_, hidden, gate = 256 * 28 * 28, 16, 256
    assert map_ == 200_704
    assert work.macs == work.macs_fvcore == 8_192
    assert work.elementwise_ops == map_ + hidden + gate + map_  # mean, ReLU, sigmoid, multiply
    assert not work.uncounted


def test_two_ways_of_pooling_are_the_same_work() -> None:
    """x.mean and AdaptiveAvgPool2d differ in fvcore's total, and not in ours."""
    x = torch.randn(SHAPE)
    by_mean = count_work(Call(lambda x: x * x.mean((2, 3), keepdim=True)), x)
    by_pool = count_work(Call(lambda x: x * nn.functional.adaptive_avg_pool2d(x, 1)), x)
    assert by_mean.macs_fvcore != by_pool.macs_fvcore
    assert by_mean.elementwise_ops == by_pool.elementwise_ops == 2 * x.numel()


@pytest.mark.parametrize(("extent", "size"), [(2, 16), (4, 15), (8, 7)])
def test_a_window_reads_no_padding(extent: int, size: int) -> None:
    """An overlapping average pool counts the elements that lie in each clipped window."""
    ones = torch.ones(1, 3, size, size)
    kernel, padding = 2 * extent - 1, extent - 1

    def pool(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x, kernel, extent, padding)

    read = nn.functional.avg_pool2d(ones, kernel, extent, padding, divisor_override=1).sum()
    assert count_work(Call(pool), ones).elementwise_ops == int(read)


def test_batch_norm_is_no_multiply_accumulate() -> None:
    """fvcore adds BatchNorm's two operations an element to its MACs; `macs` does not."""
    work = count_work(nn.BatchNorm2d(64).eval(), torch.randn(SHAPE))
    assert work.macs == 0
    assert work.elementwise_ops == work.macs_fvcore == 2 * 2 * 64 * 16 * 16


def test_an_operator_nobody_counts_is_named() -> None:
    """What has no handle is in `uncounted` with its number of calls."""
    work = count_work(Call(lambda x: torch.i0(x) * torch.i0(x)), torch.randn(SHAPE))
    assert work.uncounted == {"aten::i0": 2}


@pytest.mark.parametrize("name", [entry.name for entry in builtin() if entry.name != "timm/ge"])
def test_every_operator_of_the_built_ins_is_counted(name: str) -> None:
    """No built-in module has an operator that nobody counted."""
    entry = builtin().get(name)
    size = 14 if name == "timm/bat" else 16
    module = entry.build(64, (size, size), 4 if entry.extents else None).eval()
    assert count_work(module, torch.randn(2, 64, size, size)).uncounted == {}
