"""The checks of `verify`: what every attention module must do, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# What `verify` holds a variant to, in the order of its columns: docs/verify.md explains them.
Check = Literal[
    "builds",
    "forward",
    "input",
    "bfloat16",
    "channels_last",
    "gradients",
    "rows",
    "repeats",
    "state",
    "odd_sizes",
    "agrees",
    "compiles",
    "exports",
    "refuses",
]
CHECKS: tuple[Check, ...] = get_args(Check)
CheckVerdict = Literal["passed", "failed", "not_applicable", "lost"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one check of a variant, and why.

    not_applicable: there is nothing to hold it to. lost: the worker died or hung over it.
    """

    verdict: CheckVerdict
    reason: str | None = None
