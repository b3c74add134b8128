"""PyTorch's own FlopCounterMode counts the same products, or the reason is known.

It counts what runs, two for each multiply-accumulate; we count a trace. docs/trust.md has the table
of the differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from program import ROOT
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from attn_bench.catalog.registry import builtin
from attn_bench.worker.metrics.work import count_work

UNBUILDABLE = "timm/ge"  # its own defaults cannot be built: docs/trust.md
NAMES = [entry.name for entry in builtin() if entry.name != UNBUILDABLE]
SHAPES = [(2, 64, 16, 16), (1, 32, 8, 16), (3, 128, 8, 8)]
# Blocks of 7 elements; groups of 64 channels.
SHAPES_OF = {
    "timm/bat": [(2, 64, 14, 14), (1, 32, 7, 14), (3, 128, 7, 7)],
    "pyramid_split": [(2, 64, 16, 16), (3, 128, 8, 8)],
}

FUSED = "on a CPU the fused attention has no formula in FlopCounterMode"
VECTOR = "FlopCounterMode has no formula for this product"
HIDDEN = "we do not look into it: macs is unknown"
# Operator -> why the two differ. All else must agree, and so must every registered module.
EXPLAINED: Mapping[str, str] = {
    "sdpa": FUSED,
    "x @ v": VECTOR,
    "v @ v": VECTOR,
    "mv": VECTOR,
    "addmv": VECTOR,
    "dot": VECTOR,
    "vdot": VECTOR,
    "addbmm": VECTOR,
    "lstm": HIDDEN,
    "fft": HIDDEN,
    "autograd function": HIDDEN,
}
E = torch.einsum
W, V = torch.randn(16, 16), torch.randn(8)


class Square(torch.autograd.Function):
    """A matrix product that the tracer sees as a Python function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x @ x


class Call(nn.Module):
    """A module around a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


OPERATORS: Mapping[str, Callable[[Tensor], Any]] = {
    "x @ v": lambda x: x @ V,
    "v @ x": lambda x: V @ x,
    "v @ v": lambda x: x[0, 0, 0] @ V,
    "broadcast left": lambda x: x[:1] @ x,
    "broadcast right": lambda x: x @ x[0, 0],
    "mm": lambda x: torch.mm(x[0, 0], x[0, 1]),
    "bmm": lambda x: torch.bmm(x[0], x[1]),
    "addmm": lambda x: torch.addmm(x[0, 0], x[0, 0], x[0, 1]),
    "baddbmm": lambda x: torch.baddbmm(x[0], x[0], x[1]),
    "addbmm": lambda x: torch.addbmm(x[0, 0], x[0], x[1]),
    "mv": lambda x: torch.mv(x[0, 0], V),
    "addmv": lambda x: torch.addmv(V, x[0, 0], V),
    "dot": lambda x: torch.dot(x[0, 0, 0], V),
    "vdot": lambda x: torch.vdot(x[0, 0, 0], V),
    "inner": lambda x: torch.inner(x, x),
    "outer": lambda x: torch.outer(x[0, 0, 0], V),
    "tensordot": lambda x: torch.tensordot(x, x, ([1, 2], [1, 2])),
    "einsum": lambda x: E("bchw,cd->bdhw", x, W),
    "einsum of three": lambda x: E("bchw,cd,bdhw->b", x, W, x),
    "einsum of four": lambda x: E("ij,jk,kl,lm->im", *x[0, :4]),
    "einsum, no sum": lambda x: E("bchw,bc->bchw", x, x[:, :, 0, 0]),
    "einsum, lone sums": lambda x: E("bhij,hkl->bil", x, x[0]),
    "einsum, dots": lambda x: E("...ij,...jk", x, x),
    "einsum, lists": lambda x: E(x, [0, 1, 2, 3], W, [1, 4], [0, 4, 2, 3]),
    "einsum, diagonal": lambda x: E("bcii->bc", x),
    "grouped": nn.Conv2d(16, 32, 3, groups=8, dilation=2),
    "transposed": nn.ConvTranspose2d(16, 8, 3, stride=2, groups=2, output_padding=1),
    "padding same": nn.Conv2d(16, 8, 3, padding="same"),
    "reflected": nn.Conv2d(16, 8, 3, padding=1, padding_mode="reflect"),
    "unbatched": lambda x: nn.functional.conv2d(x[0], W[:, :, None, None]),
    "conv1d": lambda x: nn.functional.conv1d(x[0], torch.ones(4, 8, 3)),
    "conv3d": lambda x: nn.functional.conv3d(x, torch.ones(4, 2, 3, 3, 3)),
    "linear": nn.Linear(8, 5),
    "sdpa": lambda x: nn.functional.scaled_dot_product_attention(x, x, x),
    "lstm": nn.Sequential(nn.Flatten(2), nn.LSTM(64, 8)),
    "fft": lambda x: torch.fft.rfft2(x).abs(),
    "autograd function": Square.apply,
}


def flops(module: nn.Module, x: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    total: int = counter.get_total_flops()
    return total


def modules(name: str) -> Iterator[tuple[nn.Module, Tensor]]:
    entry = builtin().get(name)
    for shape in SHAPES_OF.get(name, SHAPES):
        x = torch.randn(shape)
        for extent in (4, "global") if entry.extents else (None,):
            yield entry.build(x.shape[1], tuple(x.shape[2:]), extent).eval(), x


@pytest.mark.parametrize("name", NAMES)
def test_every_module_agrees_with_pytorchs_own_count(name: str) -> None:
    """The MACs of each registered module are half of FlopCounterMode's total, at three shapes."""
    for module, x in modules(name):
        macs = count_work(module, x).macs
        assert macs is not None
        assert 2 * macs == flops(module, x)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_agrees_or_the_difference_is_explained(name: str) -> None:
    """MACs are exact for each product, and unknown or explained where the two counts differ."""
    function = OPERATORS[name]
    module = function if isinstance(function, nn.Module) else Call(function)
    x = torch.randn(2, 16, 8, 8)
    work, theirs = count_work(module, x), flops(module, x)
    if name not in EXPLAINED:
        assert work.macs is not None
        assert 2 * work.macs == theirs
    elif EXPLAINED[name] is HIDDEN:
        assert work.macs is None
        assert any(note.startswith("macs is unknown") for note in work.notes)
    else:
        assert theirs == 0
        assert work.macs is not None
        assert work.macs > 0


def test_the_fused_attention_agrees_once_it_is_taken_apart() -> None:
    """FlopCounterMode sees the two products of attention where PyTorch runs them one by one."""
    module, x = Call(OPERATORS["sdpa"]), torch.randn(2, 16, 8, 8)
    with sdpa_kernel(SDPBackend.MATH):
        theirs = flops(module, x)
    macs = count_work(module, x).macs
    assert macs is not None
    assert 2 * macs == theirs


def test_the_fast_path_in_inference_agrees_with_training() -> None:
    """FlopCounterMode sees nothing of the fast path; in training it sees what we count in both."""
    layer, x = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), torch.randn(2, 64, 16)
    macs = count_work(layer.eval(), x).macs
    assert flops(layer, x) == 0
    assert macs is not None
    assert 2 * macs == flops(layer.train(), x)


def test_the_docs_name_every_difference() -> None:
    """The table in docs/trust.md has each explained difference."""
    text = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    _, _, section = text.partition("## How the work is counted")
    assert [name for name in EXPLAINED if f"`{name}`" not in section] == []
