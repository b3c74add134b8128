"""The bound: what the least traffic and the arithmetic take at the rates of this very machine.

A roofline (Williams, Waterman and Patterson, CACM 52(4), 2009) whose two roofs are measured in the
same worker: copies of several sizes, since caches make small ones faster, and a matrix product.
Each rate is the best of several blocks, so that the bound stays a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from attn_bench.model.protocol import Rates, Timing
from attn_bench.model.record import ITEM_BYTES, DeviceName, DType, Mode

Call = Callable[[], object]
TimeBlock = Callable[[Call, int], Timing]

COPY_BYTES = (2**18, 2**21, 2**24, 2**27)  # read and written together
MATRIX_SIDE = {"cpu": 768, "cuda": 4096}
REPEATS = 7
# A backward pass does two products for each of the forward's, and moves each gradient once.
TRAINING_MACS, TRAINING_OPS = 3, 2


@torch.no_grad()
def measure_rates(device: DeviceName, dtype: DType, time_block: TimeBlock) -> Rates:
    """Copies and a matrix product on `device` in `dtype`; takes a fraction of a second."""
    kind = getattr(torch, dtype)
    copies = []
    for size in COPY_BYTES:
        source = torch.zeros(size // 2 // ITEM_BYTES[dtype], dtype=kind, device=device)
        target = torch.empty_like(source)
        calls = max(1, 2**22 // size)
        best = _best_seconds(time_block, partial(target.copy_, source), calls)
        copies.append((size, size / best))
    side = MATRIX_SIDE[device]
    left = torch.full((side, side), 1e-3, dtype=kind, device=device)
    with _tensor_cores():
        best = _best_seconds(time_block, lambda: left @ left, 1)
    return Rates(dtype=dtype, copy=copies, macs_per_s=side**3 / best)


def _best_seconds(time_block: TimeBlock, call: Call, calls: int) -> float:
    def measured() -> Iterator[float]:
        for _ in range(REPEATS):
            timing = time_block(call, calls)
            yield (timing.device_seconds or timing.seconds) / calls

    return min(measured())


@contextmanager
def _tensor_cores() -> Iterator[None]:
    """Convolutions may use TF32 where matrix products by default do not: the bound allows it."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def copy_rate(rates: Rates, footprint: int) -> float:
    """Bytes a second for traffic of `footprint` bytes: the best of copies no smaller than the last
    measured size below it, so never too low.

    >>> copy_rate(Rates("float32", [(100, 9.0), (1000, 4.0), (10000, 5.0)], 1.0), 2000)
    5.0
    >>> copy_rate(Rates("float32", [(100, 9.0), (1000, 4.0)], 1.0), 10)
    9.0
    """
    sizes = [size for size, _ in rates.copy]
    start = max((size for size in sizes if size <= footprint), default=min(sizes))
    return max(rate for size, rate in rates.copy if size >= start)


def bound_us(rates: Rates, mode: Mode, bytes_min: int, macs: int, elementwise_ops: int) -> float:
    """The later of two clocks, memory's and arithmetic's, in µs.

    `bytes_min` is already that of `mode`; `macs` and `elementwise_ops` are of the forward pass. An
    elementwise operation is held to take half as long as a multiply-accumulate.

    >>> bound_us(Rates("float32", [(100, 1e6)], 1e9), "inference", 500, 2000, 0)
    500.0
    """
    if mode == "training":
        macs, elementwise_ops = TRAINING_MACS * macs, TRAINING_OPS * elementwise_ops
    memory_s = bytes_min / copy_rate(rates, bytes_min)
    arithmetic_s = (macs + elementwise_ops / 2) / rates.macs_per_s
    return 1e6 * max(memory_s, arithmetic_s)
