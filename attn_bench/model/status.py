"""The status of a case, and the exit status of a command."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

Status = Literal["ok", "unclear", "failed", "timeout", "out_of_memory", "unsupported", "skipped"]
WITHOUT_TIME = "time was not compared"  # the reason of a verdict by exact metrics alone
# COUNTED cases have exact metrics. The times of an unclear case are not known well enough to show.
COUNTED: tuple[Status, ...] = ("ok", "unclear")
# BROKEN cases were tried and could not be measured. FAULTS also include cases that the run did not
# reach. An unsupported case is neither: its suite combines values that do not fit together.
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
