"""The request and the answer of a check, as values; `view` puts them into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from attn_bench.analysis.verdicts import Finding, Tolerances, exit_status, is_blind, worst_first
from attn_bench.catalog.definitions import Definition, find_definitions
from attn_bench.engine.run import Finished
from attn_bench.jobs.check.notes import Note, note
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.request import RunRequest
from attn_bench.model.row import Row
from attn_bench.model.run import CheckAnswer
from attn_bench.model.status import Exit
from attn_bench.model.suite import Suite, Tolerance
from attn_bench.store import runs
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import RunFolder


@dataclass(frozen=True)
class CheckRequest:
    """What to check, how strictly, and against exactly one of four baselines.

    current: a git revision that is measured instead of the working tree.
    against: a git revision.
    against_modules: a file.
    against_python: an interpreter.
    baseline: a stored run.
    fail_fast: do not time a case that has failed by an exact metric.
    timed: whether latency is measured.
    """

    request: RunRequest
    against: str | None = None
    current: str | None = None
    against_modules: str | None = None
    against_python: str | None = None
    baseline: str | None = None
    tolerances: tuple[Tolerance, ...] = ()
    allow_undecided: bool = False
    must_see: float | None = None
    fail_fast: bool = False
    timed: bool = True


@dataclass(frozen=True)
class Answer:
    """The answer of a check.

    baseline: the name of the baseline, for people.
    findings: the worst comes first.
    info: run.json of the current side.
    path: the folder of the current side; None if it was not measured now.
    trouble: why the check ended early; None if it did not.
    rows: of the current side, and of the baseline if it was measured beside it.
    definitions: where the modules with a finding are, if they were measured now.
    """

    suite: str
    baseline: str
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]
    info: RunInfo
    exit_status: int
    path: Path | None = None
    trouble: str | None = None
    rows: tuple[Row, ...] = ()
    definitions: Mapping[str, Definition] = field(default_factory=dict)


def conclude(
    question: CheckRequest,
    finished: Finished,
    folder: RunFolder,
    against: str,
    findings: Sequence[Finding],
    notes: Sequence[Note],
) -> Answer:
    ordered = tuple(worst_first(findings))
    notes = [*notes, *_note_visibility(finished), *_note_blind(ordered, question.must_see)]
    state = finished.info.state
    status = exit_status(
        ordered, allow_undecided=question.allow_undecided, must_see=question.must_see
    )
    if state == "interrupted":
        status = Exit.INTERRUPTED
    elif state != "finished" and status in (Exit.GOOD, Exit.UNDECIDED):
        status = Exit.NOT_MEASURED
    found = CheckAnswer(
        baseline=against,
        exit_status=int(status),
        notes=tuple(asdict(each) for each in notes),
        findings=tuple(asdict(finding) for finding in ordered),
    )
    info = replace(finished.info, check=found)
    folder.write_info(info)
    return Answer(
        info.suite.name,
        against,
        ordered,
        tuple(notes),
        info,
        status,
        finished.path,
        finished.trouble,
        finished.rows,
        find_definitions(
            {finding.module for finding in ordered if finding.severity != "pass"},
            question.request.modules_from,
        ),
    )


def _note_blind(findings: Sequence[Finding], must_see: float | None) -> list[Note]:
    """The number of cases in which a slowdown of `must_see` could have stayed unseen."""
    if must_see is None:
        return []
    blind = sum(is_blind(finding, must_see) for finding in findings)
    return [note("blind", fraction=must_see, cases=blind)] if blind else []


def _note_visibility(finished: Finished) -> list[Note]:
    """The smallest slowdown that a run of this length sees here, if a selfcheck measured it."""
    info = runs.find_newest("selfcheck", finished.info.environment.fingerprint)
    seen = info.selfcheck.smallest_visible if info and info.selfcheck else None
    timed = sum(row.rounds is not None for row in finished.rows)
    if not seen or not timed:
        return []
    budget_s = finished.info.settings.budget_s / timed
    tried = {float(seconds): found.value for seconds, found in seen.items()}
    nearest_s = max((s for s in tried if s <= budget_s), default=min(tried))
    return [note("smallest_visible", seconds=nearest_s, fraction=tried[nearest_s])]


def tolerances_of(question: CheckRequest, suite: Suite) -> Tolerances:
    """The tolerances of the suite, then of the command line, whose globs must match a module."""
    named = {name for grid in suite.grids for name in grid.modules} | {suite.baseline}
    glob = Tolerances(question.tolerances).unmatched(named)
    if glob is not None:
        raise RequestError(f"--tolerance {glob}: no module of {suite.name}{nearest(glob, named)}")
    return Tolerances([*suite.tolerances, *question.tolerances])
