"""Rows as text: CSV, Markdown, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from attn_bench.model.row import Row
from attn_bench.model.units import plain


def as_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """RFC 4180 with a header; an unknown value is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(row, name) for name in columns] for row in rows)
    return text.getvalue()


def as_markdown(rows: Iterable[Row], columns: Sequence[str]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        cells = (_markdown_cell(getattr(row, name)) for name in columns)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_json(rows: Iterable[Row], columns: Sequence[str]) -> str:
    records = [{name: getattr(row, name) for name in columns} for row in rows]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"


def _markdown_cell(value: object) -> str:
    return plain(value).replace("|", "\\|").replace("\n", " ")
