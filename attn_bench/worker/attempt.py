"""Turns what the code under test raises into its result: it is not a fault of the worker."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from attn_bench.model.errors import in_one_line
from attn_bench.model.status import Status

OTHERS_CODE = re.compile(
    r"[/\\\\](site-packages|attn_bench[/\\\\](?!modules))|^<|[/\\\\]lib[/\\\\]python3"
)
T = TypeVar("T")


class CaseFailed(Exception):
    """The module under test raised, or broke a rule."""

    def __init__(self, status: Status, error: str) -> None:
        super().__init__(error)
        self.status: Status = status


def attempt(stage: str, step: Callable[[], T]) -> T:
    """Return what `step` returns. Whatever it raises becomes a CaseFailed of one line."""
    try:
        return step()
    except CaseFailed:  # from an attempt inside this one
        raise
    except Exception as error:  # any class of error may come out of a user's module
        short_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            "can't allocate memory" in str(error)
        )
        status: Status = "out_of_memory" if short_of_memory else "failed"
        raise CaseFailed(status, f"{stage}: {_said(error)}{_place(error)}") from error


def _said(error: Exception) -> str:
    """Its message in one line; of an assertion without a message, its source."""
    if not isinstance(error, AssertionError) or str(error):
        return in_one_line(error)
    lines = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__)]
    asserted = [line for line in lines if not line.startswith("raise")]
    return f"AssertionError: {asserted[-1]}"


def _place(error: BaseException) -> str:
    """The place in the module's own file, rather than inside a library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not OTHERS_CODE.search(f.filename)]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
