"""Prints plain lines without rich, so that short commands are fast."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Sequence

from attn_bench.model.text import printable

RED, RESET = "\033[1;31m", "\033[0m"


def line(message: str) -> None:
    """Print one line of any length on standard output; nothing in it acts on a terminal.

    It is flushed, to keep its order with lines on standard error.
    """
    sys.stdout.write(f"{printable(message)}\n")
    sys.stdout.flush()


def text(content: str) -> None:
    """Print the lines of JSON, CSV or Markdown; nothing in them acts on a terminal."""
    sys.stdout.write("\n".join(map(printable, content.split("\n"))))


def commands(content: str) -> None:
    """Print workflow commands of our own, unchanged."""
    sys.stdout.write(content)


def error(message: str) -> None:
    """Print one line on standard error, marked as an error."""
    is_coloured = (
        sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    )
    mark = f"{RED}error:{RESET}" if is_coloured else "error:"
    sys.stderr.write(f"{mark} {printable(message)}\n")
    sys.stderr.flush()


def print_aligned(cells: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> None:
    """Print rows of cells in columns.

    right: whether each column is aligned to the right.
    """
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    sides = right or [False] * len(widths)
    for row in cells:
        parts = [
            _pad(cell, width, to_right=to_right)
            for cell, width, to_right in zip(row, widths, sides, strict=True)
        ]
        line("  ".join(parts).rstrip())


def width_of(text: str) -> int:
    """The number of columns that `text` takes on a terminal, by Unicode Standard Annex 11.

    >>> width_of("se"), width_of("注意力"), width_of("e\u0301")
    (2, 6, 1)
    """
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def _pad(cell: str, width: int, *, to_right: bool) -> str:
    gap = " " * (width - width_of(cell))
    return gap + cell if to_right else cell + gap
