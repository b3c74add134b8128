"""Two versions of modules side by side: time, memory, MACs and parameters, each with its change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attn_bench.model import units
from attn_bench.model.case import BASELINE
from attn_bench.model.metrics import LIMITS
from attn_bench.model.row import CASE_COLUMNS, Row
from attn_bench.model.run import CheckAnswer
from attn_bench.store.reading import read_record
from attn_bench.view.findings import make_cells
from attn_bench.view.summary import group_title

if TYPE_CHECKING:
    from attn_bench.analysis.verdicts import Finding

# What is shown beside the time.
EXACT = tuple(metric for metric in LIMITS.values() if metric.kind == "exact")
SAME = tuple(n for n in CASE_COLUMNS if n not in ("case_id", "module", "variant"))
HEADINGS = ("module", "shape", "verdict", "latency", "new / old", *(str(m.heading) for m in EXACT))


def side_by_side(rows: Sequence[Row], findings: Sequence[Finding]) -> list[list[str]]:
    """The cells under HEADINGS of each case with two versions; empty for another kind of run."""
    old = {_key(row): row for row in rows if row.module.endswith(BASELINE)}
    found = {finding.case_id: finding for finding in findings}
    lines = []
    for row in rows:
        before = old.get(_key(row))
        if before is not None and before is not row and row.case_id in found:
            lines.append(_line(before, row, found[row.case_id]))
    return lines


def of_stored_check(rows: Sequence[Row], kept: CheckAnswer) -> list[list[str]]:
    """The cells of a check that a run folder keeps."""
    from attn_bench.analysis.verdicts import Finding

    return side_by_side(rows, read_record(kept.findings, tuple[Finding, ...]))


def _key(row: Row) -> tuple[Any, ...]:
    """What both versions of a case have in common."""
    return row.module.removesuffix(BASELINE), *(getattr(row, name) for name in SAME)


def _line(old: Row, new: Row, finding: Finding) -> list[str]:
    name = new.name if new.extent is None else f"{new.name}({new.extent})"
    cells = make_cells(finding)
    latency = f"{cells.old} → {cells.new}" if finding.times else units.UNKNOWN
    exact = []
    for metric in EXACT:
        then, now = getattr(old, metric.name), getattr(new, metric.name)
        grown = f" ({units.change(now / then)})" if then and now is not None else ""
        shown = metric.show(now) if then == now else f"{metric.show(then)} → {metric.show(now)}"
        exact.append(shown if then == now else f"{shown}{grown}")
    return [name, group_title(new), cells.verdict, latency, cells.ratio, *exact]
