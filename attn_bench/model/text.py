"""Makes text of others safe to show: on a terminal, in a log of continuous integration, in XML."""

from __future__ import annotations

import re

# GitHub takes a line that begins with ::name:: or ::name key=value::, and ##[name] anywhere in a
# line, for a command to its runner. A long line may be wrapped, so no place in it is safe.
COMMAND = re.compile(r"::(?=[\w-]+(\s.*)?::)")
OLD_COMMAND = "##["


def printable(text: str) -> str:
    r"""`text` in one line, in which nothing acts on a terminal or on a runner of GitHub.

    Control characters, bidirectional marks, line breaks and lone surrogates are shown escaped.

    >>> print(printable("red \x1b[31m, a\nb, \u202e, \ud800"))
    red \x1b[31m, a\nb, \u202e, \ud800
    >>> printable("::error::no, ##[error]no, aten::mul"), printable("注意力 ⊙ θ")
    (': :error::no, ## [error]no, aten::mul', '注意力 ⊙ θ')
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    return COMMAND.sub(": :", text).replace(OLD_COMMAND, "## [")


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
