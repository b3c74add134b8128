"""Text of others in rich's markup."""

from __future__ import annotations

from rich import markup

from attn_bench.model.text import printable


def escape(text: str) -> str:
    r"""`text` as rich shows it: nothing in it is markup, or acts on a terminal.

    >>> print(escape("[bold]\x1b[31m"))
    \[bold]\u001b[31m
    """
    return markup.escape(printable(text))


def unmark(text: str) -> str:
    r"""The words of markup.

    >>> unmark("[bold]se[/] \\[4]")
    'se [4]'
    """
    return markup.render(text).plain
