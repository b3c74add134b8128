"""How things end: what became of a case, and what a command ends with."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

Status = Literal["ok", "failed", "timeout", "out_of_memory", "unsupported", "skipped"]
# A case that its suite's shapes rule out is nobody's fault, and one that was not reached is not
# broken: BROKEN cases have been tried and could not be measured, FAULTS lack their figures.
BROKEN: tuple[Status, ...] = ("failed", "timeout", "out_of_memory")
FAULTS: tuple[Status, ...] = (*BROKEN, "skipped")


class Exit(IntEnum):
    """The exit status of every command."""

    GOOD = 0
    BAD_ANSWER = 1  # the command worked: a regression, a failed check, nothing that fits
    BAD_REQUEST = 2
    NOT_MEASURED = 3  # some cases could not be measured
    UNDECIDED = 4
    INTERRUPTED = 130
