"""Rows of a run with a device's own clock."""

from __future__ import annotations

from math import inf

from attn_bench.analysis.estimates import Timings
from attn_bench.analysis.rows import Measurements, make_rows
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.metrics import DeviceClock
from attn_bench.model.row import Row
from attn_bench.model.run import Block, Facts, Outcome, Plan, Rates

CASE = Case(Variant("se"), Shape(1, 16, 4, 4))


def row_of(
    device_us: float | None, *clocks: DeviceClock | None, waited_s: float | None = None
) -> Row:
    """Of a case with a latency of 100 µs, this device time, and a bound of 10 µs."""
    blocks = [
        Block(
            case_id=CASE.id,
            session=session,
            round=round_,
            position=0,
            calls=1,
            seconds=100e-6,
            waited_s=waited_s,
            device_s=None if device_us is None else device_us / 1e6,
            device_clock=clocks[round_ % len(clocks)],
        )
        for session in range(3)
        for round_ in range(20)
    ]
    measured = Measurements(
        {CASE.id: Outcome(CASE.id, "ok", facts=Facts(bytes_min=1000, macs=0, elementwise_ops=0))},
        Timings(blocks),
        {"float32": Rates("float32", [(100, 1e8)], 1e12)},
        threads=1,
    )
    (row,) = make_rows(Plan((CASE,), {CASE.id: CASE.id}, {}), measured)
    return row


def test_a_bound_is_compared_with_the_clock_of_its_rates() -> None:
    """Rates come from the device's own clock where there is one, and so does the fraction."""
    assert abs(row_of(20.0, "graph").bound_fraction - 0.5) < 1e-6  # type: ignore[operator]
    assert abs(row_of(None, None).bound_fraction - 0.1) < 1e-6  # type: ignore[operator]


def test_a_row_states_the_worst_clock_of_its_blocks() -> None:
    """A device time that includes launches in one block is not shown as free of them."""
    assert row_of(20.0, "graph", "graph").device_clock == "graph"
    assert row_of(20.0, "graph", "launches", "queue").device_clock == "launches"
    assert row_of(None, None).device_clock is None


def test_the_throughput_is_the_batch_over_the_latency() -> None:
    """On a CPU a caller waits for each call; the ends of the interval change places."""
    row = row_of(None, None)
    throughput, latency = row.interval("images_per_s"), row.interval("latency_us")
    assert throughput is not None
    assert latency is not None
    assert throughput.value == 1e6 / latency.value
    assert (throughput.lo, throughput.hi) == (1e6 / latency.hi, 1e6 / latency.lo)


def test_a_latency_that_may_be_0_leaves_the_throughput_without_an_upper_end() -> None:
    """Threads that waited for a core all the time tell nothing of the shortest latency."""
    row = row_of(None, None, waited_s=1e-3)
    assert row.latency_lo_us == 0
    assert (row.images_per_s, row.images_per_s_hi) == (None, inf)
    row.check()
