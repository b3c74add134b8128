"""Rows as text: CSV, Markdown or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from attn_bench.model.row import ABOUT, COLUMNS, UNIT, Row
from attn_bench.model.text import markdown, spreadsheet
from attn_bench.model.units import plain


def as_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """RFC 4180 with a header; an unknown value is an empty cell.

    A text that a spreadsheet would run as a formula begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [getattr(row, name) for name in columns]
        writer.writerow([spreadsheet(v) if isinstance(v, str) else v for v in values])
    return text.getvalue()


def as_markdown(rows: Iterable[Row], columns: Sequence[str]) -> str:
    cells = ([markdown(plain(getattr(row, name))) for name in columns] for row in rows)
    return markdown_table(columns, cells)


def as_json(rows: Iterable[Row], columns: Sequence[str]) -> str:
    records = [{name: _number(getattr(row, name)) for name in columns} for row in rows]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"


def _number(value: Any) -> Any:
    """JSON has no infinity: null stands for it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def markdown_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0
) -> str:
    """A table of cells that are Markdown, and contain no bar.

    right: how many of the last columns are aligned to the right.

    >>> print(markdown_table(["a", "b"], [["1", "`x`"]]), end="")
    | a | b |
    |---|---|
    | 1 | `x` |
    """
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * (len(headings) - right)}{'---:|' * right}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def describe_columns() -> str:
    """The table of columns for results/README.md."""
    rows = ([f"`{name}`", UNIT[name], ABOUT[name]] for name in COLUMNS)
    return markdown_table(("column", "unit", "meaning"), rows)
