"""The bound: the time for the least traffic and the arithmetic at the rates of this machine.

It is a roofline (Williams, Waterman and Patterson, CACM 52(4), 2009); a worker measures its rates.
"""

from __future__ import annotations

from attn_bench.model.axes import Mode
from attn_bench.model.run import Facts, Rates

# A backward pass does two products for each product of the forward pass, and one elementwise
# operation for each of its operations.
TRAINING_MACS, TRAINING_OPS = 3, 2


def copy_rate(rates: Rates, footprint: int) -> float:
    """Bytes a second for traffic of `footprint` bytes.

    It is the best rate of all copies from the largest measured size below `footprint` upwards, so
    it is never too low.

    >>> copy_rate(Rates("float32", [(100, 9.0), (1000, 4.0), (10000, 5.0)], 1.0), 2000)
    5.0
    >>> copy_rate(Rates("float32", [(100, 9.0), (1000, 4.0)], 1.0), 10)
    9.0
    """
    sizes = [size for size, _ in rates.copy]
    start = max((size for size in sizes if size <= footprint), default=min(sizes))
    return max(rate for size, rate in rates.copy if size >= start)


def bound_us(facts: Facts, mode: Mode, rates: Rates) -> float | None:
    """The larger of the memory time and the arithmetic time, in µs.

    None if the traffic, the MACs or the other operations are unknown: the memory time alone would
    pass for the least possible time of a case that computes for longer.

    `bytes_min` includes the traffic of `mode`. `macs` and `elementwise_ops` count the forward pass.
    An elementwise operation counts as half a multiply-accumulate.

    >>> facts = Facts(bytes_min=500, macs=2000, elementwise_ops=0)
    >>> bound_us(facts, "inference", Rates("float32", [(100, 1e6)], 1e9))
    500.0
    >>> bound_us(Facts(bytes_min=500), "inference", Rates("float32", [(100, 1e6)], 1e9)) is None
    True
    """
    bytes_min, macs, elementwise_ops = facts.bytes_min, facts.macs, facts.elementwise_ops
    if bytes_min is None or macs is None or elementwise_ops is None:
        return None
    if mode == "training":
        macs, elementwise_ops = TRAINING_MACS * macs, TRAINING_OPS * elementwise_ops
    memory_s = bytes_min / copy_rate(rates, bytes_min)
    arithmetic_s = (macs + elementwise_ops / 2) / rates.macs_per_s
    return 1e6 * max(memory_s, arithmetic_s)
