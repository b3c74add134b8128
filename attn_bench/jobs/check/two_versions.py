"""Checks two versions: measures both in the same processes, in pairs, until each is decided."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from attn_bench.catalog.registry import BUILTIN, Entry, union
from attn_bench.catalog.source import find_source
from attn_bench.engine.coordinator import Progressed, calling_s
from attn_bench.engine.pair import WorkerPair
from attn_bench.engine.progress import Progress
from attn_bench.engine.run import Begun, Measured, Prepared, begin, measure, renew, save
from attn_bench.engine.session import OpenSession, open_session
from attn_bench.jobs.check.answer import Answer, CheckRequest, conclude, tolerances_of
from attn_bench.jobs.check.notes import Note, note
from attn_bench.jobs.check.revision import check_out
from attn_bench.jobs.check.versions import PairJudge, Sides, two_sides
from attn_bench.model import protocol
from attn_bench.model.case import BASELINE
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.model.run import Plan
from attn_bench.model.suite import Suite
from attn_bench.plan import suite_file
from attn_bench.plan.cases import SECONDS_PER_CASE, make_plan, make_settings

SESSIONS = 8  # more than a run has: an interval over all cases and looks asks for more
LEAST_CHECK_S = 20.0
GENERATIONS = 4  # of pairs of processes, one after another within the budget


def check_versions(question: CheckRequest, progress: Progress) -> Answer:
    """Answer the question. Raises AttnBenchError if it is wrong or nothing can be compared."""
    with _version(question) as version, _current(question, version) as (measured, instead):
        return _against_version(measured, instead, progress)


@dataclass(frozen=True)
class _Version:
    """The baseline version: its name for people, and its code for workers.

    commit: of the baseline, if it is a git revision.
    current: the commit that is measured instead of the working tree.
    request: as the user asked, if another one names the files of that commit.
    """

    words: str
    baseline: protocol.BaselineCode | None = None
    python: str | None = None
    notes: tuple[Note, ...] = ()
    tree: Path | None = None
    commit: str | None = None
    current: str | None = None
    request: RunRequest | None = None


@contextmanager
def _current(question: CheckRequest, version: _Version) -> Iterator[tuple[CheckRequest, _Version]]:
    """The question for another revision than the working tree, if it asks for one.

    Only the files of --modules-from can be of another revision.
    """
    if question.current is None:
        yield question, version
        return
    words = question.request.modules_from
    with check_out(question.current, words) as now:
        if len(now.words) < len(words):
            raise RequestError(f"{question.current}: has no {', '.join(words)}")
        assert version.baseline is not None
        moved = {str(now.tree): str(version.tree)}
        request = replace(question.request, modules_from=now.words)
        yield (
            replace(question, request=request),
            replace(
                version,
                baseline=replace(version.baseline, package=None, moved=moved),
                notes=(),
                current=now.commit,
                request=question.request,
            ),
        )


@contextmanager
def _version(question: CheckRequest) -> Iterator[_Version]:
    if question.against is not None:
        with check_out(question.against, question.request.modules_from) as revision:
            package = str(revision.modules) if revision.modules else None
            yield _Version(
                revision.shown,
                protocol.BaselineCode(
                    package, list(revision.words), {str(revision.root): str(revision.tree)}
                ),
                notes=(note("uncommitted"),) if revision.is_dirty else (),
                tree=revision.tree,
                commit=revision.commit,
            )
    elif question.against_modules is not None:
        there = find_source(question.against_modules, "--against-modules")
        here = [find_source(word).folder for word in question.request.modules_from]
        moved = {str(folder): str(there.folder) for folder in here if folder != there.folder}
        yield _Version(there.word, protocol.BaselineCode(None, [there.word], moved))
    else:
        assert question.against_python is not None
        python, notes = question.against_python, (note("two_processes"),)
        yield _Version(python, python=python, notes=notes)


def _against_version(question: CheckRequest, version: _Version, progress: Progress) -> Answer:
    request, began = question.request, datetime.now(UTC)
    with _open(question, version, progress) as session:
        versions = _versions(session, request, version, question.against_modules is not None)
        suite = suite_file.load(
            request.suite, union(versions.baseline.values(), versions.current.values())
        )
        suite = replace(suite, timed=suite.timed and question.timed)
        plan = make_plan(suite, session.hello.device, modules=request.modules, where=request.where)
        sides = two_sides(plan, versions.compared, versions.baseline)
        if not sides.plan.cases and not sides.missing:
            raise RequestError(f"{version.words} has no module of {suite.source} to compare")
        settings = make_settings(_with_own_defaults(suite, sides), sides.plan, request)
        judge = PairJudge(
            sides,
            tolerances_of(question, suite),
            settings.budget_s,
            question.fail_fast,
            suite.timed,
        )
        prepared = Prepared(session, suite, sides.plan, settings)
        begun = _name_commits(begin(prepared, request, began, progress, "check"), version)
        if isinstance(session.worker, WorkerPair) and session.worker.baseline_hello:
            there = dict(session.worker.baseline_hello.software)
            begun = replace(begun, info=replace(begun.info, baseline_software=there))
        measured = _measure_all(prepared, begun, progress, judge)
        finished = save(measured, begun, "the pair was decided, or the budget was spent,")
        findings = judge.findings(measured.coordinator.outcomes, measured.coordinator.timings)
        notes = [*version.notes, *_note_left_out(plan, suite, versions)]
        return conclude(question, finished, begun.folder, version.words, findings, notes)


def _name_commits(begun: Begun, version: _Version) -> Begun:
    """The run, with the commit that it compares with, and the one that it measures."""
    info = replace(begun.info, against=version.commit)
    if version.current is not None:
        seen = replace(info.environment, git_commit=version.current, git_dirty=False)
        info = replace(info, environment=seen, request=version.request)
    return replace(begun, info=info)


@dataclass(frozen=True)
class _Versions:
    """The modules of both versions, by name.

    compared: the modules that can differ.
    """

    current: Mapping[str, Entry]
    baseline: Mapping[str, Entry]
    compared: Collection[str]


def _versions(
    session: OpenSession, request: RunRequest, version: _Version, only_files: bool
) -> _Versions:
    """Find the modules of both versions.

    only_files: compare only the modules of the baseline's file.
    """
    current = {e.name: e for e in session.modules if not e.name.endswith(BASELINE)}
    baseline = {
        name: replace(entry, name=name)
        for entry in session.modules
        if (name := entry.name.removesuffix(BASELINE)) != entry.name
    }
    if version.baseline is None:
        baseline = dict(current)
    has_package = version.baseline is not None and version.baseline.package is not None
    compared = {
        name
        for name, entry in current.items()
        if name in baseline
        or entry.origin in request.modules_from
        or (has_package and entry.origin == BUILTIN)
    }
    return _Versions(current, baseline, compared & baseline.keys() if only_files else compared)


def _note_left_out(plan: Plan, suite: Suite, versions: _Versions) -> list[Note]:
    """A note on the modules that only one version has."""
    cases = [c for c in plan.cases if c.variant.label != suite.baseline and not c.is_plain]
    named = {case.variant.module for case in cases}
    alone = sorted(named - set(versions.compared) - versions.baseline.keys())
    return [note("one_version_only", modules=alone)] if alone else []


@contextmanager
def _open(question: CheckRequest, version: _Version, progress: Progress) -> Iterator[OpenSession]:
    """Open a session. Errors in the baseline name the revision, not its temporary folder."""
    try:
        with open_session(
            question.request,
            progress,
            baseline=version.baseline,
            python=version.python,
            times=question.timed,
        ) as session:
            yield session
    except RequestError as problem:
        tree = version.tree
        words = str(problem)
        raise RequestError(
            words.replace(f"{tree}{os.sep}", f"{version.words}: ") if tree else words
        ) from None


def _with_own_defaults(suite: Suite, sides: Sides) -> Suite:
    """`suite` with the default budget and sessions of a check, which ends when all is decided."""
    return replace(
        suite,
        budget_s=max(LEAST_CHECK_S, SECONDS_PER_CASE * len(sides.plan.measurable)),
        sessions=SESSIONS,
    )


def _measure_all(
    prepared: Prepared, begun: Begun, progress: Progress, judge: PairJudge
) -> Measured:
    """Measure one set of sessions, or several generations of them for pairs of processes.

    Two versions in one process need one set. Pairs of processes need many pairs, because only
    their number narrows the interval.
    """
    session = prepared.session
    generations = GENERATIONS if isinstance(session.worker, WorkerPair) else 1
    before: Progressed | None = None
    share_s = prepared.settings.budget_s / generations
    for generation in range(1, generations + 1):
        spent_s = calling_s(before.blocks) if before else 0.0  # the coordinator subtracts it again
        settings = replace(prepared.settings, budget_s=share_s + spent_s)
        measured = measure(
            replace(prepared, settings=settings), begun.folder, progress, before, judge
        )
        done = measured.coordinator
        if judge.is_done() or measured.state != "finished" or generation == generations:
            break
        before = Progressed(done.outcomes, done.blocks, done.next_session)
        measured = renew(measured)
        if measured.state != "finished":
            break
    return measured
