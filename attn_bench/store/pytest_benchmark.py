"""A run in pytest-benchmark's JSON, for `pytest-benchmark compare` and similar tools."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from attn_bench._version import __version__
from attn_bench.model.metrics import EXACT
from attn_bench.model.run import Block
from attn_bench.store import runs
from attn_bench.store.runs import StoredRun


def from_run(run: StoredRun) -> str:
    """Every timed case with its exact metrics; each round of each session is a round."""
    # Imported here: it loads scipy, and `show --help` reads the table of formats.
    from attn_bench.analysis.estimates import WARM_UP_ROUNDS

    environment = run.info.environment
    blocks: dict[str, list[Block]] = defaultdict(list)
    for block in runs.load_blocks(run.path):
        if block.round >= WARM_UP_ROUNDS:
            blocks[block.case_id].append(block)
    content = {
        "machine_info": {
            "machine": environment.machine,
            "processor": environment.cpu,
            "system": environment.system,
            "python_version": str(environment.python).rpartition(" ")[2],
            "cpu": {"brand_raw": environment.cpu, "count": environment.cores_logical},
        },
        "commit_info": {
            "id": environment.git_commit,
            "dirty": environment.git_dirty,
        },
        "benchmarks": [
            {
                "group": f"{row.batch}x{row.channels}x{row.height}x{row.width}",
                "name": row.case_id,
                "fullname": f"{run.info.suite.name}::{row.case_id}",
                "params": {"variant": row.variant},
                "param": row.variant,
                "extra_info": {metric: getattr(row, metric) for metric in EXACT},
                "options": {},
                "stats": _stats(blocks[row.case_id]),
            }
            for row in run.rows
            if blocks[row.case_id]
        ],
        "datetime": run.info.end,
        "version": f"attn-bench {__version__}",
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _stats(blocks: list[Block]) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for block in blocks:
        stats.update(block.seconds / block.calls)
    return {**stats.as_dict(), "data": stats.data, "iterations": max(b.calls for b in blocks)}
