"""Ratios in the JSON of github-action-benchmark, for its tool `customSmallerIsBetter`. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attn_bench.model import units
from attn_bench.model.text import printable
from attn_bench.view.findings import describe_times, make_cells

if TYPE_CHECKING:
    from attn_bench.jobs.check.answer import Answer
    from attn_bench.model.metrics import Interval
    from attn_bench.store.runs import StoredRun

UNIT = "× baseline"


def from_run(run: StoredRun) -> str:
    """The ratio of each timed case to the baseline of its suite."""
    found = []
    for row in run.rows:
        ratio, latency = row.interval("ratio"), row.interval("latency_us")
        if ratio and latency and ratio.half_width > 0:  # the baseline's own ratio is exactly 1
            shown = units.with_interval(latency.times(1))
            found.append(_entry(row.case_id, ratio, f"latency {shown} µs"))
    return _as_json(found)


def from_answer(answer: Answer) -> str:
    """The ratio of each timed case, new over old. A ratio that is not known at all is left out."""
    return _as_json(
        [
            _entry(f.case_id, f.times.ratio, f"{f.verdict}; {describe_times(make_cells(f))}")
            for f in answer.findings
            if f.times is not None and not units.is_hopeless(f.times.ratio.times(1))
        ]
    )


def _entry(name: str, ratio: Interval, words: str) -> dict[str, Any]:
    """`range` is a number after ±, because the tool reads it again. `extra` has both ends."""
    return {
        "name": printable(name),
        "unit": UNIT,
        "value": float(f"{ratio.value:.6g}"),
        "range": f"± {ratio.half_width:.2g}",
        "extra": f"{ratio.lo:.4g} to {ratio.hi:.4g}\n{words}",
    }


def _as_json(entries: list[dict[str, Any]]) -> str:
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
