"""A check of two versions: both in the same processes, measured in pairs until each is decided."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from attn_bench.analysis.estimates import LEAST_FAMILY
from attn_bench.catalog.registry import BUILTIN, Entry, union
from attn_bench.engine.coordinator import Progressed, calling_s
from attn_bench.engine.pair import WorkerPair
from attn_bench.engine.progress import Progress
from attn_bench.engine.run import Begun, Measured, Prepared, begin, measure, save
from attn_bench.engine.session import OpenSession, open_session
from attn_bench.jobs.check.answer import Answer, CheckRequest, conclude, tolerances_of
from attn_bench.jobs.check.notes import Note, note
from attn_bench.jobs.check.revision import checked_out
from attn_bench.jobs.check.versions import PairJudge, Sides, two_sides
from attn_bench.model import protocol
from attn_bench.model.case import BASELINE
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.model.run import Plan
from attn_bench.model.suite import Suite
from attn_bench.plan import suite_file
from attn_bench.plan.cases import SECONDS_PER_CASE, SESSIONS, make_plan, make_settings

SESSIONS_OF_FEW = 8
LEAST_BUDGET_S = 20.0
GENERATIONS = 4  # of pairs of processes, one after the other within the budget


def check_versions(question: CheckRequest, progress: Progress) -> Answer:
    """Raises AttnBenchError for what cannot be asked, or not be compared at all."""
    with _version(question) as version:
        return _against_version(question, version, progress)


@dataclass(frozen=True)
class _Version:
    """What is compared with: in words, and as workers load it."""

    words: str
    baseline: protocol.BaselineCode | None = None
    python: str | None = None
    notes: tuple[Note, ...] = ()
    tree: Path | None = None


@contextmanager
def _version(question: CheckRequest) -> Iterator[_Version]:
    if question.against is not None:
        with checked_out(question.against, question.request.modules_from) as revision:
            package = str(revision.modules) if revision.modules else None
            yield _Version(
                f"{question.against} ({revision.commit[:10]})",
                protocol.BaselineCode(package, [str(file) for file in revision.files]),
                notes=(note("uncommitted"),) if revision.is_dirty else (),
                tree=revision.tree,
            )
    elif question.against_modules is not None:
        file = question.against_modules
        if not Path(file).is_file():
            raise RequestError(f"--against-modules {file}: file not found")
        yield _Version(file, protocol.BaselineCode(None, [file]))
    else:
        assert question.against_python is not None
        python, notes = question.against_python, (note("two_processes"),)
        yield _Version(python, python=python, notes=notes)


def _against_version(question: CheckRequest, version: _Version, progress: Progress) -> Answer:
    request, began = question.request, datetime.now(UTC)
    with _opened(question, version, progress) as session:
        versions = _versions(session, request, version, question.against_modules is not None)
        suite = suite_file.load(
            request.suite, union(versions.baseline.values(), versions.current.values())
        )
        plan = make_plan(suite, session.hello.device, modules=request.modules, where=request.where)
        sides = two_sides(plan, versions.compared, versions.baseline)
        if not sides.plan.cases and not sides.missing:
            raise RequestError(f"{version.words} has no module of {suite.source} to compare")
        judge = PairJudge(sides, tolerances_of(question, suite))
        settings = make_settings(_with_own_defaults(suite, sides), sides.plan, request)
        prepared = Prepared(session, suite, sides.plan, settings)
        begun = begin(prepared, request, began, "check")
        if isinstance(session.worker, WorkerPair) and session.worker.baseline_hello:
            there = dict(session.worker.baseline_hello.software)
            begun = replace(begun, info=replace(begun.info, baseline_software=there))
        measured = _measure_all(prepared, begun, progress, judge)
        finished = save(measured, begun, "the pair was decided, or the budget was spent,")
        findings = judge.findings(measured.coordinator.outcomes, measured.coordinator.timings)
        notes = [*version.notes, *_left_out(plan, suite, versions)]
        return conclude(question, finished, begun.folder, version.words, findings, notes)


@dataclass(frozen=True)
class _Versions:
    """The modules of both versions by name; compared: those that can differ."""

    current: Mapping[str, Entry]
    baseline: Mapping[str, Entry]
    compared: Collection[str]


def _versions(
    session: OpenSession, request: RunRequest, version: _Version, only_files: bool
) -> _Versions:
    """only_files: compare what the baseline's file holds, and nothing else."""
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


def _left_out(plan: Plan, suite: Suite, versions: _Versions) -> list[Note]:
    """A note on the modules that only one version has."""
    cases = [c for c in plan.cases if c.variant.label != suite.baseline and not c.is_plain]
    named = {case.variant.module for case in cases}
    alone = sorted(named - set(versions.compared) - versions.baseline.keys())
    return [note("one_version_only", modules=alone)] if alone else []


@contextmanager
def _opened(question: CheckRequest, version: _Version, progress: Progress) -> Iterator[OpenSession]:
    """Complaints about the baseline name the revision, and not where it lay for a while."""
    try:
        with open_session(
            question.request, progress, baseline=version.baseline, python=version.python
        ) as session:
            yield session
    except RequestError as problem:
        tree = version.tree
        words = str(problem)
        raise RequestError(
            words.replace(f"{tree}{os.sep}", f"{version.words}: ") if tree else words
        ) from None


def _with_own_defaults(suite: Suite, sides: Sides) -> Suite:
    """A suite's budget and sessions are those of `run`; a verdict has its own. It ends when all is
    decided; few cases learn little about their variance from each other, so they have more
    sessions to learn from."""
    return replace(
        suite,
        budget_s=max(LEAST_BUDGET_S, SECONDS_PER_CASE * len(sides.plan.measurable)),
        sessions=SESSIONS if len(sides.pairs) >= LEAST_FAMILY else SESSIONS_OF_FEW,
    )


def _measure_all(
    prepared: Prepared, begun: Begun, progress: Progress, judge: PairJudge
) -> Measured:
    """In one process one set of sessions will do; pairs of processes are renewed again and again,
    since it is their number that narrows the interval."""
    session = prepared.session
    generations = GENERATIONS if isinstance(session.worker, WorkerPair) else 1
    before: Progressed | None = None
    share_s = prepared.settings.budget_s / generations
    for generation in range(1, generations + 1):
        spent_s = calling_s(before.blocks) if before else 0.0  # a coordinator takes it off again
        settings = replace(prepared.settings, budget_s=share_s + spent_s)
        measured = measure(
            replace(prepared, settings=settings), begun.folder, progress, before, judge
        )
        done = measured.coordinator
        if judge.is_done() or measured.state != "finished" or generation == generations:
            break
        before = Progressed(done.outcomes, done.blocks, done.next_session)
        try:
            session.renew()
        except KeyboardInterrupt:
            return replace(measured, state="interrupted")
        except RequestError as problem:
            return replace(measured, state="broken off", trouble=str(problem))
    return measured
