"""The matrix of `verify` as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from attn_bench.jobs.verify import Verification

SCHEMA = 1


def as_json(answer: Verification) -> str:
    """Everything, for programs."""
    content = {
        "schema": SCHEMA,
        "state": answer.state,
        "exit_status": answer.exit_status,
        "device": answer.device,
        "software": dict(answer.software),
        "rows": [
            {
                "variant": row.variant.label,
                "module": row.variant.module,
                "extent": row.variant.extent,
                "arguments": dict(row.variant.arguments),
                "checks": {check: asdict(checked) for check, checked in row.checked.items()},
            }
            for row in answer.rows
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
