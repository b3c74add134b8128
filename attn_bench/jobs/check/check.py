"""The CI gate: compares with another version or a stored run, or compares two stored runs."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from attn_bench.analysis.verdicts import Tolerances, exit_status, worst_first
from attn_bench.catalog.registry import Entry
from attn_bench.engine.judges import Precision, Untimed
from attn_bench.engine.progress import Progress, Unseen
from attn_bench.engine.run import Prepared, begin, complain_early, measure, prepare, save
from attn_bench.engine.session import open_session
from attn_bench.jobs.check import stored
from attn_bench.jobs.check.answer import Answer, CheckRequest, conclude, tolerances_of
from attn_bench.jobs.check.notes import Note, note
from attn_bench.jobs.check.two_versions import check_versions
from attn_bench.model.axes import AUTO
from attn_bench.model.case import BASELINE
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.model.row import Row
from attn_bench.model.suite import Tolerance
from attn_bench.plan.cases import make_selection
from attn_bench.store import runs
from attn_bench.store.runs import StoredRun


def check(question: CheckRequest, progress: Progress) -> Answer:
    """Answer the question. Raises AttnBenchError if it is wrong or nothing can be compared."""
    if question.baseline is not None:
        return _against_run(question, runs.find(question.baseline), progress)
    return check_versions(question, progress)


def exact(
    baseline_run: Path,
    root: Path,
    *,
    modules: str | None = None,
    where: str | None = None,
    modules_from: tuple[str, ...] = (),
) -> Answer:
    """Compare the exact metrics alone with a stored run, by inspecting its suite again.

    root: the folder of relative paths. Nothing is stored. Raises AttnBenchError.
    """
    known = runs.load(baseline_run).info.suite
    name, source = known.name, known.source
    with tempfile.TemporaryDirectory(prefix="attn-bench-") as folder:
        request = RunRequest(
            suite=name if source == f"suites/{name}.toml" else str(root / source),
            modules=modules,
            where=where,
            modules_from=modules_from,
            out=str(Path(folder, "run")),
        )
        return _against_run(CheckRequest(request), baseline_run, Unseen(), timed=False)


def compare(
    old: str,
    new: str,
    tolerances: tuple[Tolerance, ...],
    *,
    allow_undecided: bool = False,
    must_see: float | None = None,
) -> Answer:
    """Compare two stored runs. Raises RequestError if they are unreadable or share no case."""
    before, after = _one_version(runs.find(old)), _one_version(runs.find(new))
    notes, run_to_run = _time_notes(before, after)
    rules = Tolerances([*after.info.suite.tolerances, *tolerances])
    findings = worst_first(stored.compare(before, after, rules, run_to_run))
    if all(finding.verdict in ("new", "missing") for finding in findings):
        raise RequestError(f"{old} and {new} have no case in common")
    name = after.info.suite.name
    status = exit_status(findings, allow_undecided=allow_undecided, must_see=must_see)
    return Answer(name, before.path.name, tuple(findings), notes, after.info, status)


def _against_run(
    question: CheckRequest, path: Path, progress: Progress, *, timed: bool = True
) -> Answer:
    request, began = question.request, datetime.now(UTC)
    old = _one_version(path)
    if request.device == AUTO:  # a case id contains the device, so take that of the baseline
        request = replace(request, device=old.info.device)
    gone = [Entry(r.module, "any" if r.extent else None) for r in old.rows]
    complain_early(request, gone)
    with open_session(request, progress, times=timed) as session:
        prepared = prepare(session, request, gone)
        old = replace(old, rows=_comparable_rows(old, prepared, request))
        rules = tolerances_of(question, prepared.suite)
        begun = begin(prepared, request, began, progress, "check")
        is_timed = timed and stored.find_obstacle(old.info, begun.info) is None
        judge = Precision(prepared.plan, prepared.settings.precision) if is_timed else Untimed()
        measured = measure(prepared, begun.folder, progress, judge=judge)
        ended = "the budget was spent" if is_timed else "time was not compared"
        finished = save(measured, begun, ended)
        new = runs.load(finished.path)
        notes, run_to_run = _time_notes(old, new) if timed else ((), None)
        findings = stored.compare(old, new, rules, run_to_run)
        return conclude(question, finished, begun.folder, path.name, findings, notes)


def _comparable_rows(old: StoredRun, prepared: Prepared, request: RunRequest) -> list[Row]:
    """The rows of the baseline that this request selects. Raises RequestError if none is left."""
    planned = {case.id for case in prepared.plan.cases}
    is_selected = make_selection(request.modules, request.where)
    rows = [r for r in old.rows if r.case_id in planned or is_selected(asdict(r))]
    has_common = bool({row.case_id for row in rows} & planned)
    if not rows or not (has_common or old.info.suite.name == prepared.suite.name):
        source = prepared.suite.source
        raise RequestError(f"{old.path}: contains no case of {source}")
    return rows


def _one_version(path: Path) -> StoredRun:
    """A stored run. Raises RequestError for a check, which has two versions of each case."""
    stored = runs.load(path)
    if any(row.module.endswith(BASELINE) for row in stored.rows):
        raise RequestError(
            f"{path}: contains two versions of each case; a baseline is a folder of `run`"
        )
    return stored


def _time_notes(old: StoredRun, new: StoredRun) -> tuple[tuple[Note, ...], float | None]:
    """Notes on code and times, and the deviation of times from run to run; None without times."""
    notes = [
        note("cut_off", run=run.path.name, state=run.info.state)
        for run in (old, new)
        if run.info.state != "finished"
    ]
    notes.append(note("code", changed=stored.find_changed_code(old.info, new.info)))
    notes += stored.list_own_warnings(old.info, new.info)
    if obstacle := stored.find_obstacle(old.info, new.info):
        return (*notes, obstacle), None
    known = stored.find_run_to_run(new.info.environment.fingerprint)
    baseline = new.info.suite.baseline
    compared = note("time_compared", baseline=baseline, **asdict(known))
    return (*notes, compared), known.sd
