"""The notes of a check beside its findings, as values; `view.notes` has the words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# A closed list, with the facts of each kind.
NoteKind = Literal[
    "uncommitted",  # the working tree differs from its commit
    "two_processes",  # the two versions ran in two processes
    "one_version_only",  # modules: those that only one version has
    "cut_off",  # run, state: a run that did not finish
    "code",  # changed: modules whose code differs between the runs; None if it is not known
    "warned",  # run, warning, cases: a warning of the modules that only this run has
    "time_compared",  # baseline, sd, is_measured: ratios to the baseline decide
    "time_not_compared",  # cause, and what belongs to it: see `stored.find_obstacle`
    "blind",  # fraction, cases: in how many cases --must-see is not met
    "smallest_visible",  # seconds, fraction: by selfcheck, what such a run sees
]


@dataclass(frozen=True)
class Note:
    """A note and its facts: JSON values by name."""

    kind: NoteKind
    facts: Mapping[str, Any] = field(default_factory=dict)


def note(kind: NoteKind, **facts: Any) -> Note:
    """A note of this kind.

    >>> note("cut_off", run="base", state="interrupted").facts["state"]
    'interrupted'
    """
    return Note(kind, facts)
