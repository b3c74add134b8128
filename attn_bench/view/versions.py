"""Two versions of modules side by side: time, memory, MACs and parameters, each with its change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.case import BASELINE
from attn_bench.model.metrics import LIMITS
from attn_bench.model.row import Row
from attn_bench.view.summary import group_title

if TYPE_CHECKING:
    from attn_bench.analysis.verdicts import Finding

# What is shown beside the time.
EXACT = tuple(metric for metric in LIMITS.values() if metric.kind == "exact")
HEADINGS = ("module", "shape", "latency", "change", *(str(m.heading) for m in EXACT))


def side_by_side(rows: Sequence[Row], findings: Sequence[Finding]) -> list[list[str]]:
    """The cells under HEADINGS of each case with two versions; empty for another kind of run."""
    old = {r.case_id: r for r in rows if r.module.endswith(BASELINE)}
    found = {finding.case_id: finding for finding in findings}
    lines = []
    for row in rows:
        before = old.get(row.case_id.replace(row.module, row.module + BASELINE, 1))
        if before is not None and row.case_id in found:
            lines.append(_line(before, row, found[row.case_id]))
    return lines


def _line(old: Row, new: Row, finding: Finding) -> list[str]:
    name = new.name if new.extent is None else f"{new.name}({new.extent})"
    times = finding.times
    latency = change = units.UNKNOWN
    if times is not None:
        latency = f"{units.microseconds(times.old_us)} → {units.microseconds(times.new_us)}"
        change = units.change_with_interval(times.ratio.times(1))
    if change == units.UNCLEAR:
        latency = units.UNCLEAR
    exact = []
    for metric in EXACT:
        then, now = getattr(old, metric.name), getattr(new, metric.name)
        grown = f" ({units.change(now / then)})" if then and now is not None else ""
        shown = metric.show(now) if then == now else f"{metric.show(then)} → {metric.show(now)}"
        exact.append(shown if then == now else f"{shown}{grown}")
    return [name, group_title(new), latency, change, *exact]
