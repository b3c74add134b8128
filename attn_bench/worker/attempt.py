"""Turns errors of the code under test into results, since they are not faults of the worker."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from attn_bench.model.errors import in_one_line
from attn_bench.model.status import Status

OTHERS_CODE = re.compile(
    r"[/\\\\](site-packages|attn_bench[/\\\\](?!modules))|^<|[/\\\\]lib[/\\\\]python3"
)
T = TypeVar("T")


# The error after which every further call to the device fails. Older versions of torch lack it.
STICKY: Any = getattr(torch, "AcceleratorError", ())


class CaseFailed(Exception):
    """The module under test raised, or broke a rule.

    poisoned: whether other cases would fail in this process, too.
    """

    def __init__(self, status: Status, error: str, *, poisoned: bool = False) -> None:
        super().__init__(error)
        self.status: Status = status
        self.poisoned = poisoned


def attempt(stage: str, step: Callable[[], T]) -> T:
    """Return the result of `step`. Every error becomes a CaseFailed with one line."""
    try:
        return step()
    except CaseFailed:  # from an attempt inside this one
        raise
    except Exception as error:  # a user's module may raise any class of error
        short_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            "can't allocate memory" in str(error)
        )
        status: Status = "out_of_memory" if short_of_memory else "failed"
        message = f"{stage}: {_find_message(error)}{_place(error)}"
        poisoned = isinstance(error, STICKY) or "CUDA error" in str(error)
        raise CaseFailed(status, message, poisoned=poisoned) from error


def _find_message(error: Exception) -> str:
    """The message of the error in one line; for an assertion without a message, its source."""
    if not isinstance(error, AssertionError) or str(error):
        return in_one_line(error)
    lines = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__)]
    asserted = [line for line in lines if not line.startswith("raise")]
    return f"AssertionError: {asserted[-1]}"


def _place(error: BaseException) -> str:
    """The place in the module's own file that raised the error, not inside a library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not OTHERS_CODE.search(f.filename)]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
