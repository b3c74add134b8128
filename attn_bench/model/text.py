"""Makes text of others safe to show: on a terminal, in a log of CI, in XML, Markdown and CSV."""

from __future__ import annotations

import html
import re
from functools import lru_cache

# GitHub takes a line that begins with ::name:: or ::name key=value:: for a command to its runner. A
# long line may be wrapped, so no place in it is safe. GitHub, Azure and TeamCity take ##[name],
# ##vso[name] and ##teamcity[name] anywhere in a line.
COMMAND = re.compile(r"::(?=[\w-]+(\s.*)?::)")
OLD_COMMAND = re.compile(r"##(?=\w*\[)")
# What GitHub turns into links in Markdown: mentions, issues, addresses.
ACTIVE = re.compile(
    r"(?<!\w)@(?=\w)|#(?=\d)|:(?=//)|\bwww(?=\.)|(?<=\w)@(?=\w+\.)|\bGH(?=-\d)|\$", re.ASCII
)
# Underscores that begin or end emphasis, and what makes a line a heading, a list or a quotation.
EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
BLOCK = re.compile(r"^(\s*)(#{1,6}(?=\s|$)|[+-](?=\s|$)|[=-]+$|\d+(?=[.)](?:\s|$)))")
# The commands of LaTeX, and letters that the fonts of a plain document lack. Other letters from
# LATIN on are escaped.
LATIN = 0x180
LATEX = {
    **{char: f"\\{char}" for char in "_%&#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "…": r"\dots{}",
    "–": r"\textendash{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "θ": r"$\theta$",
    "⁻": "$^{-}$",
    "⁺": "$^{+}$",
    "−": "$-$",
    "·": r"$\cdot$",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
# What GitHub escapes in the message and in the properties of a workflow command.
OF_MESSAGE = {ord(char): f"%{ord(char):02X}" for char in "%\r\n"}
OF_PROPERTY = {**OF_MESSAGE, **{ord(char): f"%{ord(char):02X}" for char in ":,"}}


@lru_cache(maxsize=4096)  # a history has the same names in each run
def printable(text: str) -> str:
    r"""`text` in one line, in which nothing acts on a terminal or on a runner of GitHub.

    Control characters, bidirectional marks, line breaks and lone surrogates are shown escaped.

    >>> print(printable("red \x1b[31m, a\nb, \u202e, \ud800"))
    red \u001b[31m, a\u000ab, \u202e, \ud800
    >>> printable("::error::no, ##[error]no, ##vso[x], aten::mul"), printable("注意力 ⊙ θ")
    (': :error::no, ## [error]no, ## vso[x], aten::mul', '注意力 ⊙ θ')
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    return OLD_COMMAND.sub("## ", COMMAND.sub(": :", text))


def workflow_command(name: str, message: str, **properties: str) -> str:
    """A line on which GitHub's runner acts. No part of its texts ends it or adds a property.

    >>> workflow_command("error", "5 % slower", title="attn-bench: slower", file="a,b.py")
    '::error title=attn-bench%3A slower,file=a%2Cb.py::5 %25 slower\\n'
    """
    shown = (
        f"{key}={printable(value.translate(OF_PROPERTY))}" for key, value in properties.items()
    )
    return f"::{name} {','.join(shown)}::{printable(message).translate(OF_MESSAGE)}\n"


def markdown(text: str) -> str:
    r"""`text` in Markdown: no link, image, mention, reference, tag or emphasis.

    >>> print(markdown("[a](http://b) *c* @d #1 <e> |f|"))
    \[a\](http:<!-- -->//b) \*c\* @<!-- -->d #<!-- -->1 &lt;e&gt; \|f\|
    >>> print(markdown("# a"), markdown("_b_"), markdown("ge_theta"), markdown("1. c"))
    \# a \_b\_ ge_theta 1\. c
    """
    text = html.escape(printable(text), quote=False)
    text = re.sub(r"[\\`*\[\]|~]", r"\\\g<0>", text)
    text = EMPHASIS.sub(r"\\_", text)
    text = BLOCK.sub(_harmless, text)
    return ACTIVE.sub(r"\g<0><!-- -->", text)


def _harmless(begin: re.Match[str]) -> str:
    space, sign = begin.groups()
    return f"{space}{sign}\\" if sign.isdigit() else f"{space}\\{sign}"


def latex(text: str) -> str:
    r"""`text` in LaTeX: no character of it is a command.

    >>> print(latex("ge_theta 2 ± 0.1 %, 8×56, θ⁻ {x} \\end"))
    ge\_theta 2 $\pm$ 0.1 \%, 8$\times$56, $\theta$$^{-}$ \{x\} \textbackslash{}end
    """
    return "".join(map(_in_latex, printable(text))).replace("--", "-{}-")


def spreadsheet(text: str) -> str:
    """`text` in a cell that no spreadsheet takes for a formula: an apostrophe goes before it.

    >>> spreadsheet("=1+1"), spreadsheet("se")
    ("'=1+1", 'se')
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def _in_latex(char: str) -> str:
    if char in LATEX:
        return LATEX[char]
    return char if ord(char) < LATIN else rf"\textbackslash{{}}u{ord(char):04x}"


def _escape(char: str) -> str:
    """As in JSON and in Python: \\u202e."""
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
