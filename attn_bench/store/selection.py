"""Selects the rows and columns of a table, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
        known.sort(key=lambda row: _order(getattr(row, column)), reverse=sort.startswith("-"))
        selected = known + [row for row in selected if getattr(row, column) is None]
    return selected


def _order(value: Any) -> tuple[bool, Any]:
    """A key by which words come after numbers: the global extent is the largest."""
    return isinstance(value, str), value


def read_columns(words: str | None) -> list[str]:
    """Checked column names; empty if `words` names none."""
    if not words:
        return []
    names = list(COLUMNS) if words == "all" else [word.strip() for word in words.split(",")]
    for name in names:
        if name not in COLUMNS:
            raise RequestError(f"unknown column {name!r}{nearest(name, COLUMNS)}")
    return names
