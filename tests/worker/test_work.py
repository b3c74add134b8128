"""Work is counted in full, and fvcore's own total is fvcore's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from attn_bench.catalog.registry import builtin
from attn_bench.worker.counts.handles import HANDLES
from attn_bench.worker.counts.multiplies import may_multiply
from attn_bench.worker.metrics import work as counting
from attn_bench.worker.metrics.work import count_work

F = nn.functional
SHAPE = (2, 64, 16, 16)
Pool = Callable[..., torch.Tensor]


class Call(nn.Module):
    """A module around a function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)  # type: ignore[operator,no-any-return]


class Attention(nn.Module):
    """Self-attention over the positions of a map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).mT
        return self.attention(tokens, tokens, tokens)[0].mT.reshape(x.shape)


@torch.jit.script  # type: ignore[misc]
def scripted(x: torch.Tensor) -> torch.Tensor:
    """A branch that a trace cannot follow."""
    return x @ x if float(x.sum()) > 0 else x


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


def test_what_may_multiply_and_is_not_counted_leaves_macs_unknown() -> None:
    """An uncounted operator that may multiply makes MACs None, with a note that names it."""
    work = count_work(nn.Sequential(nn.Flatten(2), nn.LSTM(64, 8)), torch.randn(2, 16, 8, 8))
    assert work.macs is None
    assert work.notes == ("macs is unknown: aten::lstm may multiply and has no count",)
    assert work.macs_fvcore == 0  # fvcore's own total is fvcore's own


def test_a_function_in_python_is_named() -> None:
    """The tracer does not look into an autograd function: its MACs are unknown, and it is named."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x @ x

    work = count_work(Call(Twice.apply), torch.randn(2, 4, 8, 8))
    assert work.macs is None
    assert work.uncounted == {"prim::PythonOp (Twice)": 1}


def test_a_scripted_function_is_named() -> None:
    """The tracer does not look into a scripted function either."""
    work = count_work(Call(scripted), torch.randn(2, 4, 8, 8))
    assert work.macs is None
    assert work.uncounted == {"prim::CallFunction (scripted)": 1}


def test_products_may_multiply() -> None:
    """The rule for what cannot multiply frees no operator that contains a product."""
    names = (
        "matmul mm addmm bmm baddbmm addbmm mv addmv dot vdot inner linear einsum tensordot "
        "bilinear _convolution conv2d convolution lstm gru lstm_cell rnn_tanh cdist chain_matmul "
        "cov corrcoef linalg_multi_dot linalg_solve scaled_dot_product_attention fft_rfft2 stft "
        "_scaled_mm _native_multi_head_attention _transformer_encoder_layer_fwd embedding_bag"
    )
    assert [name for name in names.split() if not may_multiply(f"aten::{name}")] == []


def test_unknown_kinds_of_operators_may_multiply() -> None:
    """What is not PyTorch's, or not known to it, may multiply."""
    for kind in ("my_library::fused", "aten::of_a_later_version", "prim::If", "prim::CallMethod"):
        assert may_multiply(kind)


def test_what_cannot_multiply_leaves_macs_known() -> None:
    """An uncounted elementwise operator is named, and MACs stay exact."""
    work = count_work(Call(lambda x: torch.i0(x @ x).cumsum(1).roll(1, 2)), torch.randn(2, 4, 8, 8))
    assert set(work.uncounted) >= {"aten::i0", "aten::cumsum"}
    assert work.macs == 2 * 4 * 8 * 8 * 8
    assert work.notes == ()


@pytest.mark.parametrize("training", [False, True])
def test_multi_head_attention_is_counted_in_both_modes(training: bool) -> None:
    """Four projections and two products: 393,216 MACs, also where PyTorch has a fast path."""
    batch, width, tokens = 2, 16, 64
    work = count_work(Attention(width).train(training), torch.randn(batch, width, 8, 8))
    by_hand = batch * (4 * tokens * width**2 + 2 * tokens**2 * width)
    assert work.macs == by_hand == 393_216
    assert work.uncounted == {}


def test_an_encoder_layer_is_counted_in_both_modes() -> None:
    """nn.TransformerEncoderLayer has the same work in inference as in training, all of it."""
    width, tokens, hidden = 16, 64, 32
    layer = nn.TransformerEncoderLayer(width, 4, hidden, dropout=0.0, batch_first=True)
    x = torch.randn(2, tokens, width)
    attention, mlp = 393_216, 2 * (2 * tokens * width * hidden)
    inference = count_work(layer.eval(), x)
    assert inference == count_work(layer.train(), x)
    assert inference.macs == attention + mlp


def test_the_fast_path_is_put_back() -> None:
    """Counting leaves PyTorch's switch as it was, also where tracing fails."""

    def fail(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("cannot be traced")

    for before in (True, False):
        torch.backends.mha.set_fastpath_enabled(before)
        try:
            with pytest.raises(RuntimeError, match="cannot be traced"):
                count_work(Call(fail), torch.randn(1, 1, 2, 2))
            assert torch.backends.mha.get_fastpath_enabled() is before
        finally:
            torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.parametrize(
    ("product", "macs"),
    [
        (lambda x: torch.baddbmm(x.flatten(0, 1), x.flatten(0, 1), x.flatten(0, 1)), 16_384),
        (lambda x: torch.einsum("bchw,cd->bdhw", x, torch.ones(16, 16)), 32_768),
        (lambda x: x @ torch.ones(8), 2_048),
        (lambda x: torch.ones(8) @ x, 2_048),
        (lambda x: x[0, 0, 0] @ torch.ones(8), 8),
        (lambda x: x[:1] @ x, 16_384),
        (lambda x: torch.addbmm(x[0, 0], x[0], x[1]), 8_192),
        (lambda x: torch.addmv(x[0, 0, 0], x[0, 0], x[0, 0, 0]), 64),
        (lambda x: torch.mv(x[0, 0], x[0, 0, 0]), 64),
        (lambda x: torch.dot(x[0, 0, 0], x[0, 0, 1]), 8),
        (
            lambda x: torch.einsum("bchw,cd,de->behw", x, torch.ones(16, 4), torch.ones(4, 8)),
            12_288,
        ),
    ],
)
def test_products_by_hand(product: object, macs: int) -> None:
    """Each kind of product is exact to the integer at 2×16×8×8."""
    assert count_work(Call(product), torch.randn(2, 16, 8, 8)).macs == macs


@pytest.mark.parametrize("pool", [F.avg_pool2d, F.max_pool2d])
def test_a_window_of_the_maps_size_is_counted(pool: Pool) -> None:
    """CBAM's own code pools by (x.size(2), x.size(3)): each element is read once."""
    x = torch.randn(2, 16, 8, 6)

    def whole(x: torch.Tensor) -> torch.Tensor:
        return pool(x, (x.size(2), x.size(3)), stride=(x.size(2), x.size(3)))

    work = count_work(Call(whole), x)
    assert (work.elementwise_ops, work.macs) == (x.numel(), 0)
    assert not work.notes
    by_half = count_work(Call(lambda x: pool(x, (x.size(2) // 2, x.size(3) - 3))), x)
    assert set(by_half.operations.values()) >= {2 * 16 * 8 * 6}


def test_an_lp_pool_of_the_maps_size_is_counted() -> None:
    """lp_pool2d is an average pool between powers: its window is counted too."""
    x = torch.randn(2, 16, 8, 8)
    work = count_work(Call(lambda x: F.lp_pool2d(x, 2, (x.size(2), x.size(3)))), x)
    assert work.operations["avg_pool2d"] == x.numel()
    assert work.uncounted == {}


def test_a_failing_handle_takes_only_its_own_operator_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The operator becomes uncounted and is named with the error; all other counts stay."""

    def fail(inputs: object, outputs: object) -> Counter[str]:
        raise KeyError("of a later PyTorch")

    x = torch.randn(2, 16, 8, 8)
    module = Call(lambda x: torch.sigmoid(x) @ x + F.avg_pool2d(x, 8))
    whole = count_work(module, x)
    monkeypatch.setattr(counting, "HANDLES", {**HANDLES, "aten::avg_pool2d": fail})
    without_pool = count_work(module, x)
    assert without_pool.macs == whole.macs == 16_384
    assert without_pool.elementwise_ops == whole.elementwise_ops - x.numel()
    assert without_pool.uncounted == {"aten::avg_pool2d": 1}
    (note,) = without_pool.notes
    assert "aten::avg_pool2d" in note
    assert "of a later PyTorch" in note
    monkeypatch.setattr(counting, "HANDLES", {**HANDLES, "aten::matmul": fail})
    without_product = count_work(module, x)
    assert without_product.macs is None
    assert without_product.elementwise_ops == whole.elementwise_ops
    assert "aten::matmul" in without_product.notes[0]


def test_where_fvcore_fails_its_own_total_alone_is_unknown() -> None:
    """fvcore has no total for x @ v: it raises. Ours is there, and a note has the error."""
    x = torch.randn(2, 16, 8, 8)
    counted = count_work(Call(lambda x: torch.relu(x) @ torch.ones(8)), x)
    assert (counted.macs, counted.elementwise_ops) == (2_048, 2_048)
    assert counted.macs_fvcore is None
    (note,) = counted.notes
    assert note.startswith("macs_fvcore is unknown: fvcore cannot count aten::matmul: IndexError")


@pytest.mark.parametrize("name", [entry.name for entry in builtin() if entry.name != "timm/ge"])
def test_every_operator_of_the_built_ins_is_counted(name: str) -> None:
    """No built-in module has an operator that nobody counted."""
    entry = builtin().get(name)
    size = 14 if name == "timm/bat" else 16
    module = entry.build(64, (size, size), 4 if entry.extents else None).eval()
    assert count_work(module, torch.randn(2, 64, size, size)).uncounted == {}


class Unseen(nn.Module):
    """Fills its result where a trace sees nothing; with `writes`, by operators that write."""

    def __init__(self, writes: bool) -> None:
        super().__init__()
        self.writes = writes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.writes:
            out = torch.empty_like(x)
            out[:, :1] = x[:, :1] @ x[:, :1]
            out[:, 1:] = x[:, 1:]
            return out
        return torch.from_numpy(np.einsum("nchw,nchv->ncwv", x.numpy(), x.numpy()))


def test_a_result_that_the_trace_does_not_reach_has_no_count() -> None:
    """NumPy and compiled functions leave no operators behind: their MACs are unknown, never 0."""
    x = torch.ones(2, 4, 8, 8)
    unseen, seen = count_work(Unseen(writes=False), x), count_work(Unseen(writes=True), x)
    assert unseen.macs is None
    assert any("what the trace does not see" in note for note in unseen.notes)
    assert seen.macs == 2 * 8 * 8 * 8
