"""The answers of `verify` as JSON: the matrix, or a foreign class against a formula."""

from __future__ import annotations

from dataclasses import asdict

from attn_bench.jobs.foreign import ForeignAnswer
from attn_bench.jobs.verify import Verification
from attn_bench.view.json_answer import as_json


def write_json(answer: Verification) -> str:
    """The whole answer as JSON."""
    content = {
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
    return as_json("verify", content)


def write_foreign_json(answer: ForeignAnswer) -> str:
    """The whole answer of `verify FILE.py:CLASS --as NAME` as JSON."""
    content = {
        "state": "finished",
        "exit_status": answer.exit_status,
        "class": answer.word,
        "as": answer.variant.label,
        "paper": answer.paper,
        **asdict(answer.compared),
    }
    return as_json("verify", content)
