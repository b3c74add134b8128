"""The formulas that a foreign class may compute: the paper's, its open forms, known mistakes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Any

from torch import Tensor

Formula = Callable[..., Any]
# Mistakes around any formula. Each makes the formula's value of the input and the class's result.
AROUND: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "the input is added to the result (a residual that the formula does not have)": lambda x, y: (
        y - x
    ),
    "the residual is missing: the input is not added to the result": lambda x, y: y + x,
    "the gate is returned, not the gated input": lambda x, y: y * x,
    "the result is doubled": lambda x, y: y / 2,
}


@dataclass(frozen=True)
class Candidate:
    """A formula with some of its steps changed.

    reasons: its mistakes. remarks: what it has where the paper is open.
    """

    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)

    def joined(self, other: Candidate) -> Candidate | None:
        """Both at once; None if they change one step in two ways."""
        changes = dict(self.changes)
        for name, change in other.changes.items():
            merged = _merged(changes[name], change) if name in changes else change
            if merged is None:
                return None
            changes[name] = merged
        reasons, remarks = self.reasons + other.reasons, self.remarks + other.remarks
        return Candidate(reasons, remarks, changes)


def _merged(first: Any, second: Any) -> Any:
    """One function with the keywords of two of it; None if they are not of one function."""
    if not (isinstance(first, partial) and isinstance(second, partial)):
        return None
    if first.func is not second.func or first.keywords.keys() & second.keywords.keys():
        return None
    return partial(first.func, **first.keywords, **second.keywords)


def _table(formula: Formula, name: str) -> Mapping[str, Mapping[str, Any]]:
    """The entry of `formula` in the table `name` of its file."""
    tables = getattr(sys.modules[formula.__module__], name, {})
    found: Mapping[str, Mapping[str, Any]] = tables.get(formula.__name__, {})
    return found


def right_ones(formula: Formula) -> list[Candidate]:
    """The paper's formula, then its forms where the paper leaves something open."""
    forms = _table(formula, "FORMS").items()
    return [Candidate(), *(Candidate(remarks=(words,), changes=change) for words, change in forms)]


def wrong_ones(formula: Formula) -> Iterator[Candidate]:
    """The known mistakes in the paper's formula, then in its forms."""
    for right in right_ones(formula):
        for one in _mistakes(formula):
            if (both := right.joined(one)) is not None:
                yield both


def twice_wrong(formula: Formula) -> Iterator[Candidate]:
    """Two known mistakes at once."""
    for right in right_ones(formula):
        for first, second in combinations(_mistakes(formula), 2):
            one = right.joined(first)
            if one is not None and (both := one.joined(second)) is not None:
                yield both


def _mistakes(formula: Formula) -> list[Candidate]:
    found = _table(formula, "VARIANTS").items()
    return [Candidate((words,), changes=change) for words, change in found]
