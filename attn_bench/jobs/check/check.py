"""The CI gate as a contents page: what is compared with what, measured, judged, kept as a run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attn_bench.analysis.stats import LEAST_FAMILY
from attn_bench.analysis.verdicts import Finding, Tolerances, exit_status, worst_first
from attn_bench.catalog.registry import BUILTIN, Entry, union
from attn_bench.engine import measure
from attn_bench.engine.coordinator import (
    Precision,
    Progress,
    Progressed,
    Unseen,
    Untimed,
    calling_s,
)
from attn_bench.engine.pair import AnyWorker, WorkerPair
from attn_bench.engine.process import Worker
from attn_bench.jobs.check import stored
from attn_bench.jobs.check.revision import checked_out
from attn_bench.jobs.check.versions import PairJudge, Sides, two_sides
from attn_bench.model import protocol
from attn_bench.model.case import BASELINE
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.request import RunRequest
from attn_bench.model.suite import Suite, Tolerance
from attn_bench.plan import suite_file
from attn_bench.plan.cases import SECONDS_PER_CASE, SESSIONS, make_plan, selection, settle
from attn_bench.store import runs
from attn_bench.store.runs import RunFolder
from attn_bench.view.ci import Answer

SESSIONS_OF_FEW = 8
LEAST_BUDGET_S = 20.0
GENERATIONS = 4  # of pairs of processes, one after the other within the budget


@dataclass(frozen=True)
class Question:
    """What is to be checked, against exactly one of the four, and how strictly.

    against: a revision. against_modules: a file. against_python: an interpreter. baseline: a run.
    """

    request: RunRequest
    against: str | None = None
    against_modules: str | None = None
    against_python: str | None = None
    baseline: str | None = None
    tolerances: tuple[Tolerance, ...] = ()
    allow_undecided: bool = False
    must_see: float | None = None


def check(question: Question, progress: Progress) -> Answer:
    """Raises AttnBenchError for what cannot be asked, or not be compared at all."""
    if question.baseline is not None:
        return _against_run(question, runs.find(question.baseline), progress)
    with _version(question) as version:
        return _against_version(question, version, progress)


def exact(
    baseline_run: Path,
    root: Path,
    *,
    modules: str | None = None,
    where: str | None = None,
    modules_from: tuple[str, ...] = (),
) -> Answer:
    """The exact metrics alone against a stored run, whose own suite is asked again.

    root: where the suite's path begins. Nothing is kept. Raises AttnBenchError.
    """
    known = runs.load(baseline_run).info["suite"]
    name, source = str(known.get("name")), str(known.get("source"))
    with tempfile.TemporaryDirectory(prefix="attn-bench-") as folder:
        request = RunRequest(
            suite=name if source == f"suites/{name}.toml" else str(root / source),
            modules=modules,
            where=where,
            modules_from=modules_from,
            out=str(Path(folder, "run")),
        )
        return _against_run(Question(request), baseline_run, Unseen(), timed=False)


def compare(
    old: str,
    new: str,
    tolerances: tuple[Tolerance, ...],
    *,
    allow_undecided: bool = False,
    must_see: float | None = None,
) -> Answer:
    """Two stored runs. Raises RequestError where they cannot be read or share no case."""
    before, after = _one_version(runs.find(old)), _one_version(runs.find(new))
    notes, run_to_run = _time_notes(before, after)
    rules = Tolerances([*_own_tolerances(after), *tolerances])
    findings = worst_first(stored.compare(before, after, rules, run_to_run))
    if all(finding.verdict in ("new", "missing") for finding in findings):
        raise RequestError(f"{old} and {new} have no case in common")
    name = str(after.info["suite"].get("name"))
    status = exit_status(findings, allow_undecided=allow_undecided, must_see=must_see)
    return Answer(name, before.path.name, tuple(findings), notes, after.info, status)


# --- two versions in one run ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Version:
    """What is compared with: in words, and as workers load it."""

    words: str
    baseline: protocol.BaselineCode | None = None
    python: str | None = None
    notes: tuple[str, ...] = ()
    tree: Path | None = None


@contextmanager
def _version(question: Question) -> Iterator[_Version]:
    if question.against is not None:
        with checked_out(question.against, question.request.modules_from) as revision:
            package = str(revision.modules) if revision.modules else None
            dirty = ("the working tree is compared with its uncommitted changes",)
            yield _Version(
                f"{question.against} ({revision.commit[:10]})",
                protocol.BaselineCode(package, [str(file) for file in revision.files]),
                notes=dirty if revision.is_dirty else (),
                tree=revision.tree,
            )
    elif question.against_modules is not None:
        file = question.against_modules
        if not Path(file).is_file():
            raise RequestError(f"--against-modules {file}: there is no such file")
        yield _Version(file, protocol.BaselineCode(None, [file]))
    else:
        assert question.against_python is not None
        note = "two processes are no pair: their intervals are wide (docs/ci.md)"
        yield _Version(question.against_python, python=question.against_python, notes=(note,))


def _against_version(question: Question, version: _Version, progress: Progress) -> Answer:
    request, began = question.request, datetime.now(UTC)
    with measure.Interruptible():
        worker = _worker(request, version)
        try:
            progress.stage("starting", 1, "")
            hello = _opened(worker, version)
            known = measure.described(worker)
            current = {e.name: e for e in known if not e.name.endswith(BASELINE)}
            baseline = {
                name: replace(entry, name=name)
                for entry in known
                if (name := entry.name.removesuffix(BASELINE)) != entry.name
            }
            if version.baseline is None:
                baseline = dict(current)
            asked = suite_file.load(request.suite, union(baseline.values(), current.values()))
            plan = make_plan(asked, hello.device, modules=request.modules, where=request.where)
            versioned = {
                name
                for name, entry in current.items()
                if name in baseline
                or entry.origin in request.modules_from
                or (version.baseline and version.baseline.package and entry.origin == BUILTIN)
            }
            if question.against_modules is not None:
                versioned &= baseline.keys()
            sides = two_sides(plan, versioned, baseline)
            if not sides.plan.cases and not sides.missing:
                raise RequestError(f"{version.words} has no module of {asked.source} to compare")
            tolerances = _tolerances(question, asked)
            settings = settle(_own_defaults(asked, sides), sides.plan, request)
            prepared = measure.Prepared(worker, hello, asked, sides.plan, settings)
            folder = RunFolder.create(f"check-{asked.name}", hello.device, began, request.out)
            info = {**measure.beginning(request, prepared, began), "kind": "check"}
            folder.write_info(info)
        except BaseException:
            worker.end()
            raise
    judge = PairJudge(sides, tolerances)
    measured = _measured(prepared, folder, progress, judge, isinstance(worker, WorkerPair))
    finished = _saved(measured, info, "the pair was decided, or the budget was spent,")
    findings = judge.findings(measured.coordinator.outcomes, measured.coordinator.timings)
    compared = [c for c in plan.cases if c.variant.label != asked.baseline and not c.is_plain]
    named = {case.variant.module for case in compared}
    left_out = sorted(named - versioned - baseline.keys())
    notes = list(version.notes)
    if left_out:
        notes.append(f"not compared, since they have one version only: {', '.join(left_out)}")
    if isinstance(worker, WorkerPair) and worker.baseline_hello:
        info["baseline_software"] = dict(worker.baseline_hello.software)
    return _concluded(question, finished, folder, asked.name, version.words, findings, notes)


def _opened(worker: AnyWorker, version: _Version) -> protocol.Hello:
    """Complaints about the baseline name the revision, and not where it lay for a while."""
    try:
        return worker.open()
    except RequestError as problem:
        tree = version.tree
        told = str(problem).replace(f"{tree}{os.sep}", f"{version.words}: ") if tree else None
        raise RequestError(told or str(problem)) from None


def _own_defaults(asked: Suite, sides: Sides) -> Suite:
    """A suite's budget and sessions are those of `run`; a verdict has its own. It ends when all is
    decided; few cases learn little about their variance from each other, so they have more
    sessions to learn from."""
    return replace(
        asked,
        budget_s=max(LEAST_BUDGET_S, SECONDS_PER_CASE * len(sides.plan.measurable)),
        sessions=SESSIONS if len(sides.pairs) >= LEAST_FAMILY else SESSIONS_OF_FEW,
    )


def _worker(request: RunRequest, version: _Version) -> AnyWorker:
    first = measure.started(request, version.baseline)
    if version.python is None:
        return first
    try:
        return WorkerPair(first, Worker(first.opening, python=version.python))
    except OSError as error:
        first.end()
        raise RequestError(f"--against-python {version.python}: {error.strerror}") from None


def _measured(
    prepared: measure.Prepared,
    folder: RunFolder,
    progress: Progress,
    judge: PairJudge,
    in_two_processes: bool,
) -> measure.Measured:
    """In one process one set of sessions will do; pairs of processes are renewed again and again,
    since it is their number that narrows the interval."""
    generations = GENERATIONS if in_two_processes else 1
    before: Progressed | None = None
    share_s = prepared.settings.budget_s / generations
    for generation in range(1, generations + 1):
        spent_s = calling_s(before.blocks) if before else 0.0  # a coordinator takes it off again
        settings = replace(prepared.settings, budget_s=share_s + spent_s)
        with measure.Interruptible() as signals:
            measured = measure.measure(
                replace(prepared, settings=settings), folder, progress, signals, before, judge
            )
        done = measured.coordinator
        if judge.is_done() or measured.state != "finished" or generation == generations:
            break
        before = Progressed(done.outcomes, done.blocks, done.next_session)
        worker = prepared.worker.another([])
        try:
            with measure.Interruptible():
                worker.open()
        except KeyboardInterrupt:
            worker.end()
            return replace(measured, state="interrupted")
        except RequestError as problem:
            worker.end()
            return replace(measured, state="broken off", trouble=str(problem))
        prepared = replace(prepared, worker=worker)
    return measured


# --- a stored run ---------------------------------------------------------------------------------


def _against_run(
    question: Question, path: Path, progress: Progress, *, timed: bool = True
) -> Answer:
    request, began = question.request, datetime.now(UTC)
    old = _one_version(path)
    if request.device == "auto":  # cases are of a device: the baseline's
        known = old.info["environment"].get("device")
        request = replace(request, device=known if known in ("cpu", "cuda") else "auto")
    gone = [Entry(r.module, "", "any" if r.extent else None) for r in old.rows]
    with measure.Interruptible() as signals:
        prepared = measure.prepare(request, progress, gone)
        try:
            asked = prepared.suite
            info = {**measure.beginning(request, prepared, began), "kind": "check"}
            planned = {case.id for case in prepared.plan.cases}
            selected = selection(request.modules, request.where)
            rows = [r for r in old.rows if r.case_id in planned or selected(asdict(r))]
            old = replace(old, rows=rows)
            if not rows or (
                not {row.case_id for row in rows} & planned
                and old.info["suite"].get("name") != asked.name
            ):
                raise RequestError(f"{path}: has no case of {asked.source}: nothing to compare")
            rules = _tolerances(question, asked)
            reason = stored.incomparable(old.info, info) if timed else "it was not asked for"
            folder = RunFolder.create(
                f"check-{asked.name}", prepared.hello.device, began, request.out
            )
            folder.write_info(info)
        except BaseException:
            prepared.worker.end()
            raise
        judge = Untimed() if reason else Precision(prepared.plan, prepared.settings.precision)
        measured = measure.measure(prepared, folder, progress, signals, judge=judge)
    ended = "time was not compared" if reason else "the budget was spent"
    finished = _saved(measured, info, ended)
    new = runs.load(finished.path)
    notes, run_to_run = _time_notes(old, new) if timed else ((), None)
    findings = stored.compare(old, new, rules, run_to_run)
    return _concluded(question, finished, folder, asked.name, path.name, findings, notes)


def _one_version(path: Path) -> runs.StoredRun:
    """A stored run. Raises RequestError for a check, which holds two versions of each case."""
    stored = runs.load(path)
    if any(row.module.endswith(BASELINE) for row in stored.rows):
        raise RequestError(f"{path}: is a check of two versions, and no run to compare with")
    return stored


def _time_notes(old: runs.StoredRun, new: runs.StoredRun) -> tuple[tuple[str, ...], float | None]:
    """What there is to say of comparing times, and the run-to-run deviation, if they can be."""
    cut = tuple(
        f"{stored.path.name} was {stored.info.get('state')}"
        for stored in (old, new)
        if stored.info.get("state") != "finished"
    )
    if reason := stored.incomparable(old.info, new.info):
        return (*cut, f"time was not compared: {reason}"), None
    deviation, origin = stored.run_to_run_sd(new.info["environment"]["fingerprint"])
    words = f"ratios to {new.info['suite']['baseline']}; ± {100 * deviation:.1f} % from run to run"
    return (*cut, f"{words} ({origin})"), deviation


# --- the answer -----------------------------------------------------------------------------------


def _saved(measured: measure.Measured, info: dict[str, Any], ended: str) -> measure.Finished:
    """Whatever signal comes now, it comes too late to cut this short."""
    with measure.Interruptible() as signals:
        signals.deafen()
        return measure.save(measured, info, ended)


def _concluded(
    question: Question,
    finished: measure.Finished,
    folder: RunFolder,
    suite_name: str,
    baseline: str,
    findings: Sequence[Finding],
    notes: Sequence[str],
) -> Answer:
    ordered = tuple(worst_first(findings))
    notes = [*notes, *_seen_by_selfcheck(finished)]
    state = finished.info["state"]
    status = exit_status(
        ordered, allow_undecided=question.allow_undecided, must_see=question.must_see
    )
    if state == "interrupted":
        status = 130
    elif state != "finished" and status in (0, 4):
        status = 3
    info = dict(finished.info)
    info["check"] = {
        "baseline": baseline,
        "exit_status": status,
        "notes": list(notes),
        "findings": [asdict(finding) for finding in ordered],
    }
    folder.write_info(info)
    return Answer(
        suite_name, baseline, ordered, tuple(notes), info, status, finished.path, finished.trouble
    )


def _seen_by_selfcheck(finished: measure.Finished) -> list[str]:
    """What a run of this length sees on this machine, if a selfcheck has measured it."""
    info = runs.newest("selfcheck", finished.info["environment"]["fingerprint"])
    seen = ((info or {}).get("selfcheck") or {}).get("smallest_visible")
    timed = sum(row.rounds is not None for row in finished.rows)
    if not seen or not timed:
        return []
    seconds = finished.info["settings"]["budget_s"] / timed
    budget = max((b for b in seen if float(b) <= seconds), key=float, default=min(seen, key=float))
    percent = 100 * seen[budget]["value"]
    return [f"by selfcheck, a run of {budget} s a case sees {percent:.1f} % on this machine"]


def _tolerances(question: Question, asked: Suite) -> Tolerances:
    """The suite's, then the command line's, whose globs must fit something."""
    named = {name for grid in asked.grids for name in grid.modules} | {asked.baseline}
    glob = Tolerances(question.tolerances).unmatched(named)
    if glob is not None:
        raise RequestError(f"--tolerance {glob}: no module of {asked.name}{nearest(glob, named)}")
    return Tolerances([*asked.tolerances, *question.tolerances])


def _own_tolerances(stored: runs.StoredRun) -> list[Tolerance]:
    return runs.read_record(stored.info["suite"].get("tolerances") or [], list[Tolerance])
