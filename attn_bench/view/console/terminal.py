"""Opens rich consoles: coloured on a terminal, plain text of a fixed width elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from attn_bench.view.markup import escape

PLAIN_WIDTH = 100


def open_stdout() -> Console:
    return _open(sys.stdout)


def open_stderr() -> Console:
    return _open(sys.stderr)


def _open(stream: Any) -> Console:
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, emoji=False)


def warn(message: str) -> None:
    """Print a warning on standard output, because it belongs to the figures."""
    open_stdout().print(f"[yellow]warning:[/] {escape(message)}")
