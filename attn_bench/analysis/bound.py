"""The bound: what the least traffic and the arithmetic take at the rates of this very machine.

A roofline (Williams, Waterman and Patterson, CACM 52(4), 2009) whose two roofs a worker measures.
"""

from __future__ import annotations

from attn_bench.model.axes import Mode
from attn_bench.model.run import Facts, Rates

# A backward pass does two products for each of the forward's, and moves each gradient once.
TRAINING_MACS, TRAINING_OPS = 3, 2


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


def bound_us(facts: Facts, mode: Mode, rates: Rates) -> float | None:
    """The later of two clocks, memory's and arithmetic's, in µs; None where the traffic is unknown.

    `bytes_min` is already that of `mode`; `macs` and `elementwise_ops` are of the forward pass, and
    where the work could not be counted the bound is that of the traffic alone. An elementwise
    operation counts half a multiply-accumulate.

    >>> facts = Facts(bytes_min=500, macs=2000, elementwise_ops=0)
    >>> bound_us(facts, "inference", Rates("float32", [(100, 1e6)], 1e9))
    500.0
    """
    bytes_min, macs, elementwise_ops = facts.bytes_min, facts.macs or 0, facts.elementwise_ops or 0
    if bytes_min is None:
        return None
    if mode == "training":
        macs, elementwise_ops = TRAINING_MACS * macs, TRAINING_OPS * elementwise_ops
    memory_s = bytes_min / copy_rate(rates, bytes_min)
    arithmetic_s = (macs + elementwise_ops / 2) / rates.macs_per_s
    return 1e6 * max(memory_s, arithmetic_s)
