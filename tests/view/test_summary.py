"""The table that people read."""

from __future__ import annotations

import io

from rich.console import Console

from attn_bench.model.case import BASELINE
from attn_bench.model.row import Row
from attn_bench.view.console.run import show_tables


def row(module: str, latency: float, half: float, **others: object) -> Row:
    cells = {
        "variant": module,
        "module": module,
        "batch": 8,
        "channels": 256,
        "height": 56,
        "width": 56,
        "dtype": "float32",
        "memory_format": "contiguous",
        "mode": "inference",
        "execution": "eager",
        "device": "cpu",
        "params": 10,
        "macs": 20,
        "peak_memory_bytes": 4 * 8 * 256 * 56 * 56,
        "latency_us": latency,
        "latency_lo_us": latency - half,
        "latency_hi_us": latency + half,
        "ratio": latency / 100,
        "ratio_lo": (latency - half) / 100,
        "ratio_hi": (latency + half) / 100,
        "status": "ok",
    }
    return Row(**{**cells, **others})  # type: ignore[arg-type]


def over(value: float | None, lo: float, hi: float) -> dict[str, object]:
    return {"over_fastest": value, "over_fastest_lo": lo, "over_fastest_hi": hi}


def rendered(*rows: Row, baseline: str = "identity") -> dict[str, str]:
    console = Console(file=io.StringIO(), width=100)
    show_tables(console, rows, baseline)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return {line.split()[0]: line for line in lines if line.strip()}


def test_the_best_of_each_column_is_marked() -> None:
    """The fastest and the smallest carry a star; the baseline is no competitor."""
    lines = rendered(
        row("identity", 100, 1, params=0),
        row("se", 200, 2, **over(1, 1, 1)),
        row("cbam", 500, 5, params=30, **over(2.5, 2.4, 2.6)),
    )
    assert lines["se"].count("*") == 2  # latency, params; MACs and memory are alike
    assert "*" not in lines["cbam"] + lines["identity"]


def test_what_cannot_be_told_apart_is_marked_alike() -> None:
    """The direct ratio to the fastest decides, and not whether two intervals overlap."""
    lines = rendered(
        row("a", 200, 8, **over(1, 1, 1)),
        row("b", 210, 9, **over(1.05, 0.99, 1.11)),
        row("c", 211, 9, **over(1.055, 1.04, 1.07)),
    )
    assert "210 ± 9*" in lines["b"]
    assert "*" not in lines["c"]


def test_an_unclear_time_is_not_shown_as_a_figure() -> None:
    """Its cell says so; what is exact stays in the table, and it has no star."""
    lines = rendered(
        row("a", 200, 8, **over(1, 1, 1)),
        row("b", 210, 90, status="unclear", latency_us=None, ratio=None, **over(None, 0.5, 2)),
    )
    assert lines["b"].split()[1:] == ["unclear", "unclear", "10", "20", "1.00"]


def test_no_more_digits_than_the_interval_supports() -> None:
    """The half-width decides where a figure ends."""
    lines = rendered(row("a", 40345.2, 915), row("b", 312.3, 0.66))
    assert "40.3 ± 0.9" in lines["a"]
    assert "0.3123 ± 0.0007" in lines["b"]


def test_a_failed_case_keeps_its_row() -> None:
    """A case without figures shows its status where they would stand."""
    assert "failed" in rendered(row("a", 1, 0.1), row("b", 1, 0.1, status="failed"))["b"]


def test_a_check_of_two_versions_compares_no_modules() -> None:
    """Its ratios are to the other version: the heading says so, and no module is the best."""
    lines = rendered(
        row("se", 200, 2),
        row("cbam", 500, 5),
        row("se@base", 200, 2),
        row("cbam@base", 500, 5),
        baseline=BASELINE,
    )
    assert "× @base" in lines["module"]
    assert "*" not in lines["se"] + lines["cbam"]


def test_a_metric_without_figures_has_no_column() -> None:
    """What no row of a table knows is not shown, as in a run from before the metric."""
    assert "MACs" in rendered(row("a", 1, 0.1))["module"]
    assert "MACs" not in rendered(row("a", 1, 0.1, macs=None))["module"]
