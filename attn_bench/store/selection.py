"""Selects the rows and columns of a table, and their order."""

from __future__ import annotations

from collections.abc import Sequence

from attn_bench.model.condition import Condition
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.row import COLUMNS, Row


def select_rows(rows: Sequence[Row], where: str | None, sort: str | None) -> list[Row]:
    selected = list(rows)
    if where:
        condition = Condition(where, COLUMNS)
        selected = [row for row in selected if condition({c: getattr(row, c) for c in COLUMNS})]
    if sort:
        column = sort.removeprefix("-")
        if column not in COLUMNS:
            raise RequestError(f"--sort: unknown column {column!r}{nearest(column, COLUMNS)}")
        known = [row for row in selected if getattr(row, column) is not None]
        words = any(isinstance(getattr(row, column), str) for row in known)
        known.sort(
            key=lambda row: str(getattr(row, column)) if words else getattr(row, column),
            reverse=sort.startswith("-"),
        )
        selected = known + [row for row in selected if getattr(row, column) is None]
    return selected


def read_columns(words: str | None) -> list[str]:
    """Checked column names; empty if `words` names none."""
    if not words:
        return []
    names = list(COLUMNS) if words == "all" else [word.strip() for word in words.split(",")]
    for name in names:
        if name not in COLUMNS:
            raise RequestError(f"unknown column {name!r}{nearest(name, COLUMNS)}")
    return names
