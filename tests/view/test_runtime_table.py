"""Modules in several runtimes: side by side, and where their order changes."""

from __future__ import annotations

from pathlib import Path

from test_ci import INFO
from test_summary import row

from attn_bench.model.row import Row
from attn_bench.store.runs import StoredRun
from attn_bench.view.crossed.crossed import cross
from attn_bench.view.run_formats import FORMATS

ROWS = [
    row("identity", 100, 1),
    row("se", 200, 4),
    row("eca", 300, 4),
    row("cbam", 900, 9),
    row("identity", 100, 1, execution="openvino"),
    row("se", 320, 4, execution="openvino"),
    row("eca", 250, 4, execution="openvino"),
    row("cbam", 910, 9, execution="openvino"),
]


def test_each_runtime_is_a_column() -> None:
    """A line has the ratios of a module to the baseline in the same runtime."""
    (found,) = cross(ROWS, "identity")
    assert found.title == "8×256×56×56: × identity in each runtime"
    assert found.headings == ("module", "PyTorch", "OpenVINO")
    assert found.lines[0] == ("se", "2.00 ± 0.04", "3.20 ± 0.04")


def test_a_change_of_order_is_named_where_the_intervals_decide_it() -> None:
    """`se` is faster than `eca` in one runtime and slower in the other; overlaps change nothing."""
    (found,) = cross(ROWS, "identity")
    assert found.sentences == ("se is faster than eca in PyTorch, and slower in OpenVINO",)
    unsure = [*ROWS[:-2], row("eca", 300, 40, execution="openvino"), ROWS[-1]]
    (found,) = cross(unsure, "identity")
    assert found.sentences == ()


def test_one_runtime_has_no_such_table() -> None:
    """A run in PyTorch alone is shown as before."""
    assert list(cross(ROWS[:4], "identity")) == []


def test_the_answer_names_the_change() -> None:
    """Markdown has the sentence and the table of runtimes."""
    rows: list[Row] = [
        row(
            r.module,
            r.latency_us or 0.0,
            4,
            execution=r.execution,
            over_fastest=1.0 if r.module == "se" else 1.5,
            over_fastest_lo=1.0 if r.module == "se" else 1.4,
            over_fastest_hi=1.0 if r.module == "se" else 1.6,
        )
        for r in ROWS
    ]
    text = FORMATS["markdown"](StoredRun(Path("nowhere"), INFO, rows), [])
    assert "**se is faster than eca in PyTorch, and slower in OpenVINO.**" in text
    assert "| module | PyTorch | OpenVINO |" in text
