"""Code under test may raise whatever it likes: that is its result, and no fault of the worker."""

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
    """The module under test raised, or did what no module may do."""

    def __init__(self, status: Status, error: str) -> None:
        super().__init__(error)
        self.status: Status = status


def attempt(stage: str, step: Callable[[], T]) -> T:
    """What `step` returns; whatever it raises becomes a CaseFailed of one line."""
    try:
        return step()
    except CaseFailed:  # an attempt within this one has said what there is to say
        raise
    except Exception as error:  # any class of error may come out of a user's module
        short_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            "can't allocate memory" in str(error)
        )
        status: Status = "out_of_memory" if short_of_memory else "failed"
        raise CaseFailed(status, f"{stage}: {_said(error)}{_place(error)}") from error


def _said(error: Exception) -> str:
    """What it says, in one line; an assertion without words is told by its source."""
    if not isinstance(error, AssertionError) or str(error):
        return in_one_line(error)
    lines = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__)]
    asserted = [line for line in lines if not line.startswith("raise")]
    return f"AssertionError: {asserted[-1]}"


def _place(error: BaseException) -> str:
    """Where in the module's own file it came up; the libraries' insides say less."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not OTHERS_CODE.search(f.filename)]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
