"""The notes of a check in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attn_bench.model import units

if TYPE_CHECKING:
    from attn_bench.jobs.check.notes import Note, NoteKind

Facts = Mapping[str, Any]
CONDITIONS = {
    "fingerprint": "the machine differs",
    "software": "the software differs",
    "python": "Python differs",
    "threads": "the number of threads differs",
    "worker_settings": "the settings of the worker differ",
}


def describe(note: Note) -> str:
    """The note in one line."""
    return WORDS[note.kind](note.facts)


def describe_deviation(sd: float, *, is_measured: bool) -> str:
    """The deviation of a ratio from run to run, and its source.

    >>> describe_deviation(0.02, is_measured=False)
    '± 2.0 % (the default; `selfcheck` measures it)'
    """
    origin = (
        "measured by `selfcheck`, at least 1 %"
        if is_measured
        else "the default; `selfcheck` measures it"
    )
    return f"± {100 * sd:.1f} % ({origin})"


def _time_compared(facts: Facts) -> str:
    deviation = describe_deviation(facts["sd"], is_measured=facts["is_measured"])
    return (
        f"time is compared by ratios to {facts['baseline']}; they differ from run to run by "
        f"{deviation}"
    )


def _time_not_compared(facts: Facts) -> str:
    return f"time was not compared: {_obstacle(facts)}"


def _obstacle(facts: Facts) -> str:
    cause = facts["cause"]
    if cause == "other_load":
        return (
            f"other processes used {facts['cores']:.1f} cores during {_name_run(facts['run'])}; "
            "measure it again without them, or with --threads 1"
        )
    if cause == "baseline":
        return "the runs have different baselines"
    key = f"{facts['key']}: " if facts["key"] else ""
    return f"{CONDITIONS[cause]} ({key}{facts['then']}, now {facts['now']})"


def _name_run(run: str) -> str:
    return "the old run" if run == "baseline" else "the new run"


def _code(facts: Facts) -> str:
    changed = facts["changed"]
    if changed is None:
        return "whether the code differs is not known: an older version stored one of the runs"
    if not changed:
        return "the code of the modules is the same in both runs"
    return f"the code differs: {', '.join(changed)}"


WORDS: Mapping[NoteKind, Callable[[Facts], str]] = {
    "uncommitted": lambda facts: "the working tree contains uncommitted changes",
    "two_processes": lambda facts: (
        "the versions ran in two processes, so the intervals are wide (docs/ci.md)"
    ),
    "one_version_only": lambda facts: (
        "not compared, because the baseline's files do not define them: "
        + ", ".join(facts["modules"])
    ),
    "cut_off": lambda facts: f"{facts['run']} was {facts['state']}",
    "code": _code,
    "warned": lambda facts: (
        f"only {_name_run(facts['run'])} warned, in {units.number(facts['cases'], 'case')}: "
        f"{facts['warning']}"
    ),
    "time_compared": _time_compared,
    "time_not_compared": _time_not_compared,
    "blind": lambda facts: (
        f"a slowdown of {units.percent(facts['fraction'])} (--must-see) could have stayed unseen "
        f"in {units.number(facts['cases'], 'case')}"
    ),
    "smallest_visible": lambda facts: (
        f"a run of {facts['seconds']:g} s a case sees a slowdown of "
        f"{units.percent(facts['fraction'])} on this machine (by `selfcheck`)"
    ),
}
