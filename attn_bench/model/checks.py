"""The checks of `verify`: what every attention module must do, and the result of a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
# A fault of the first makes these fail, too: what they compare is then no longer one function.
FOLLOWERS: Mapping[Check, tuple[Check, ...]] = {
    "input": (
        *("bfloat16", "channels_last", "gradients", "rows"),
        *("repeats", "state", "compiles", "exports"),
    ),
    "repeats": (
        *("bfloat16", "channels_last", "gradients", "rows"),
        *("state", "agrees", "compiles", "exports"),
    ),
}
CheckVerdict = Literal["passed", "failed", "not_applicable", "lost"]


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of one check of a variant, and the reason.

    not_applicable: the check has no meaning for this variant.
    lost: the worker died or hung during the check.
    follows: the failed check that has the same cause, which is reported there.
    """

    verdict: CheckVerdict
    reason: str | None = None
    follows: Check | None = None


def trace_causes(checked: Mapping[Check, Checked]) -> dict[Check, Checked]:
    """The results of a variant; a failure that follows from another names it.

    >>> trace_causes({"input": Checked("failed", "a"), "rows": Checked("failed", "b")})["rows"]
    Checked(verdict='failed', reason='b', follows='input')
    """
    failed = [check for check, result in checked.items() if result.verdict == "failed"]
    causes: dict[Check, Check] = {}
    for cause, followers in FOLLOWERS.items():
        if cause in failed and cause not in causes:
            causes |= {check: cause for check in failed if check in followers}
    said: dict[str, Check] = {}
    for check in failed:
        reason = checked[check].reason
        if check not in causes and reason is not None:
            first = said.setdefault(reason, check)
            causes |= {} if first == check else {check: first}
    return {check: replace(found, follows=causes.get(check)) for check, found in checked.items()}
