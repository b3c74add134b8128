"""The one family of errors: every complaint that a user can cause is an `AttnBenchError`.

A message is one line: the rule, the value given, where it stands, and the nearest right thing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from attn_bench.model.status import Exit
from attn_bench.model.text import printable

LONGEST_REASON = 300  # characters


class AttnBenchError(Exception):
    """A problem to report to the user in one line; the command ends with `exit_status`."""

    exit_status = Exit.BAD_REQUEST


class RequestError(AttnBenchError):
    """The request was wrong: an unknown name, a bad option, an unusable file."""


KEPT = "; earlier results are kept, and `run --resume` continues from them"


class CannotWrite(AttnBenchError):
    """A file of a run cannot be written, because the disk is full or gone."""

    exit_status = Exit.NOT_MEASURED

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(f"{path}: cannot be written: {error.strerror}{KEPT}")


def in_one_line(error: BaseException) -> str:
    r"""The type of `error` and the first line of its message, printable.

    >>> in_one_line(ValueError("no such width\nand more"))
    'ValueError: no such width'
    """
    try:
        text = str.__str__(str(error))
    except Exception:  # a user's class of error may not have a text
        text = ""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    shown = printable(first[:LONGEST_REASON])
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint to append to an error: the nearest known word, or a list of known words.

    >>> nearest("ge_extent", ["smoke", "ge_extents"])
    " (did you mean 'ge_extents'?)"
    >>> nearest("zzz", ["smoke", "ge_extents"])
    ' (known: ge_extents, smoke)'
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    if not names:
        return ""
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f" (known: {shown})"
