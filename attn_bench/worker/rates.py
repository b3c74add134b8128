"""Measures the rates of copies and a matrix product on this machine, for the bound.

Copies have several sizes, since caches make small ones faster. Each rate is the best of several
blocks, so that the bound is never too high.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from attn_bench.model.axes import ITEM_BYTES, DType
from attn_bench.model.run import Rates
from attn_bench.worker.devices.base import Call, Device

COPY_BYTES = (2**18, 2**21, 2**24, 2**27)  # read and written together
REPEATS = 7


@torch.no_grad()
def measure_rates(device: Device, dtype: DType) -> Rates:
    """The rates of `device` in `dtype`; takes a fraction of a second."""
    kind = getattr(torch, dtype)
    copies = []
    for size in COPY_BYTES:
        source = torch.zeros(size // 2 // ITEM_BYTES[dtype], dtype=kind, device=device.name)
        target = torch.empty_like(source)
        calls = max(1, 2**22 // size)
        best = _best_seconds(device, partial(target.copy_, source), calls)
        copies.append((size, size / best))
    side = device.matrix_side
    left = torch.full((side, side), 1e-3, dtype=kind, device=device.name)
    with _tensor_cores():
        best = _best_seconds(device, lambda: left @ left, 1)
    return Rates(dtype=dtype, copy=copies, macs_per_s=side**3 / best)


def _best_seconds(device: Device, call: Call, calls: int) -> float:
    def measured() -> Iterator[float]:
        for _ in range(REPEATS):
            timing = device.time_block(call, calls)
            yield (timing.device_s or timing.seconds) / calls

    return min(measured())


@contextmanager
def _tensor_cores() -> Iterator[None]:
    """Allow TF32 for matrix products, since convolutions may use it by default."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
