"""Plain lines on standard output and standard error, without rich, so that they are instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attn_bench.model import units

RED, RESET = "\033[1;31m", "\033[0m"


def line(message: str) -> None:
    """One line on standard output, however long.

    It is flushed, so that it stands in order with what goes to standard error.
    """
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def text(content: str) -> None:
    """To standard output as it is: JSON, CSV, Markdown."""
    sys.stdout.write(content)


def error(message: str) -> None:
    """One line on standard error, marked as an error."""
    is_coloured = (
        sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    )
    mark = f"{RED}error:{RESET}" if is_coloured else "error:"
    sys.stderr.write(f"{mark} {message}\n")
    sys.stderr.flush()


def list_items(items: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """One line for each item, its columns aligned."""
    print_aligned([[units.plain(item[name]) for name in columns] for item in items])


def print_aligned(cells: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> None:
    """Rows of cells in columns. right: whether a column stands to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = right or [False] * len(widths)
    for row in cells:
        parts = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, sides, strict=True)
        ]
        line("  ".join(parts).rstrip())
