"""The checks of `verify`: what every attention module must do, and the result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# The checks of a variant, in the order of the columns of `verify`; docs/verify.md explains them.
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
    """The result of one check of a variant, and the reason.

    not_applicable: the check has no meaning for this variant.
    lost: the worker died or hung during the check.
    """

    verdict: CheckVerdict
    reason: str | None = None
