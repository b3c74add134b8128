"""Rows as text: CSV, Markdown or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from attn_bench.model.row import ABOUT, COLUMNS, UNIT, Row
from attn_bench.model.units import plain


def as_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """RFC 4180 with a header; an unknown value is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(row, name) for name in columns] for row in rows)
    return text.getvalue()


def as_markdown(rows: Iterable[Row], columns: Sequence[str]) -> str:
    return markdown_table(columns, ([plain(getattr(row, c)) for c in columns] for row in rows))


def as_json(rows: Iterable[Row], columns: Sequence[str]) -> str:
    records = [{name: getattr(row, name) for name in columns} for row in rows]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A Markdown table.

    >>> print(markdown_table(["a", "b"], [["1", "x|y"]]), end="")
    | a | b |
    |---|---|
    | 1 | x\|y |
    """
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for row in rows:
        cells = (cell.replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def describe_columns() -> str:
    """The table of columns for results/README.md."""
    rows = ([f"`{name}`", UNIT[name], ABOUT[name]] for name in COLUMNS)
    return markdown_table(("column", "unit", "meaning"), rows)
