"""Opens rich consoles: coloured on a terminal, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from rich.console import Console

from attn_bench.view.markup import escape

PLAIN_WIDTH = 100


def open_stdout() -> Console:
    return _open(sys.stdout)


def open_stderr() -> Console:
    return _open(sys.stderr)


def _open(stream: Any) -> Console:
    return Console(file=stream, width=_width(stream), highlight=False, emoji=False)


def _width(stream: Any) -> int | None:
    """None for a terminal, whose width rich finds; else COLUMNS, or that of another stream."""
    if stream.isatty():
        return None
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and len(wanted) < 5 and int(wanted):
        return int(wanted)
    for other in (sys.stderr, sys.stdin):
        with suppress(OSError, ValueError, AttributeError):
            return os.get_terminal_size(other.fileno()).columns or PLAIN_WIDTH
    return PLAIN_WIDTH


def paragraph(message: str, style: str | None = None) -> None:
    """Print a sentence: wrapped on a terminal, and in one line elsewhere."""
    open_stdout().print(escape(message), style=style, soft_wrap=not sys.stdout.isatty())


def warn(message: str) -> None:
    """Print a warning on standard output, because it belongs to the figures."""
    is_piped = not sys.stdout.isatty()
    open_stdout().print(f"[yellow]warning:[/] {escape(message)}", soft_wrap=is_piped)
