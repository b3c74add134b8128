"""The job of `run`: measure a suite into a run folder, or resume an interrupted run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from attn_bench.analysis.forecast import Forecast, make_forecast
from attn_bench.catalog import code
from attn_bench.engine.coordinator import Progressed
from attn_bench.engine.progress import Progress
from attn_bench.engine.run import (
    Begun,
    Finished,
    Prepared,
    begin,
    complain_early,
    complain_of_memory,
    environment_of,
    measure,
    prepare,
    save,
)
from attn_bench.engine.session import OpenSession, open_session
from attn_bench.model.environment import Environment, find_difference
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest, show_resume
from attn_bench.model.run import Needs, Plan, Settings
from attn_bench.model.status import Exit
from attn_bench.model.suite import Suite
from attn_bench.papers import reproduction
from attn_bench.plan.cases import make_plan
from attn_bench.store import info as run_json
from attn_bench.store import runs
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import RunFolder


def run(request: RunRequest, progress: Progress) -> Finished:
    """Measure a suite and write its run folder. Raises AttnBenchError."""
    started = datetime.now(UTC)
    complain_early(request)
    with open_session(request, progress, times=True) as session:
        prepared = prepare(session, request)
        begun = begin(prepared, request, started, progress)
        measured = measure(prepared, begun.folder, progress)
        return judge_published(save(measured, begun))


@dataclass(frozen=True)
class Planned:
    """What `run` would measure.

    like: the stored run whose variances the forecast uses; None if there is none here.
    reaches: the half-width that nine of ten ratios will have at most.
    needs: the budget and sessions for the precision that is asked for; None if it is reached.
    """

    plan: Plan
    settings: Settings
    like: str | None = None
    reaches: float | None = None
    needs: Needs | None = None


def plan(request: RunRequest, progress: Progress) -> Planned:
    """The cases that `run` would measure, the settings, and a forecast. Raises AttnBenchError."""
    complain_early(request)
    with open_session(request, progress) as session:
        prepared = prepare(session, request)
        here = replace(environment_of(session.hello), pages=prepared.settings.pages)
    settings = prepared.settings
    for path, info in runs.list_newest_first():
        if info.suite.name == prepared.suite.name and _is_alike(info, here):
            forecast = _forecast_from(path, info, prepared.plan)
            if forecast is not None:
                reaches = forecast.reaches(settings.budget_s, settings.sessions)
                is_enough = reaches <= settings.precision
                needs = None if is_enough else forecast.needs(settings.precision)
                return Planned(prepared.plan, settings, path.name, reaches, needs)
    return Planned(prepared.plan, settings)


def _forecast_from(path: Path, info: RunInfo, plan: Plan) -> Forecast | None:
    """A forecast from a stored run; None if it cannot be read, or lacks a case of the plan."""
    try:
        blocks = runs.load_blocks(path)
    except RequestError:
        return None
    if not {case.id for case in plan.measurable} <= {block.case_id for block in blocks}:
        return None
    return make_forecast(blocks, plan.baseline_of, info.calling_share)


def _is_alike(info: RunInfo, here: Environment) -> bool:
    """Whether a stored run varies as a run here would."""
    then = info.environment
    facts = ("fingerprint", "threads", "pages")
    is_whole = info.kind == "run" and info.state == "finished"
    return is_whole and all(getattr(then, f) == getattr(here, f) for f in facts)


def resume(
    name: str, progress: Progress, *, modules_from: Sequence[str] = (), wait: bool = False
) -> Finished:
    """Resume an interrupted run; its table is equivalent to that of an uninterrupted run.

    modules_from: the users' files of the run, named again: a stored run starts no code by itself.
    Raises RequestError if they are not the run's, if the run is finished, or if the code, the
    machine, the software or a setting is another one now.
    """
    path = runs.find(name)
    info = run_json.read(path)
    if info.kind != "run" or info.request is None:
        kind = "such runs" if info.kind == "run" else f"{info.kind} runs"
        raise RequestError(f"{path}: {kind} cannot be resumed; run the command again")
    if info.state == "finished":
        raise RequestError(f"{path}: the run is finished; nothing to resume")
    _complain_of_files(path, info, modules_from)
    complain_of_memory(info.settings.sessions)
    request = replace(info.request, suite=info.suite.source, pages=info.settings.pages, wait=wait)
    with open_session(request, progress, times=True) as session:
        prepared, before = prepare_again(session, path, info)
        folder = RunFolder(path)
        return judge_published(
            save(measure(prepared, folder, progress, before), Begun(folder, info))
        )


def prepare_again(session: OpenSession, path: Path, info: RunInfo) -> tuple[Prepared, Progressed]:
    """What an interrupted run decided, and what it measured.

    Raises RequestError if the code, the machine, the software or a setting is another one now.
    """
    assert info.request is not None
    before = Progressed(*runs.read_journal(path))
    sources = _complain_if_changed(path, info, session, before)
    session.hello = replace(session.hello, sources={**sources, **session.hello.sources})
    device, request = session.hello.device, info.request
    cases = make_plan(info.suite, device, modules=request.modules, where=request.where)
    return Prepared(session, info.suite, cases, info.settings), before


def files_of(request: RunRequest, suite: Suite) -> list[str]:
    """The users' files that a stored request would load."""
    stored = list(request.modules_from)
    for network in suite.networks:
        file, colon, _ = network.backbone.rpartition(":")
        stored += [file] if colon else []
    return list(dict.fromkeys(stored))


def _complain_of_files(path: Path, info: RunInfo, named: Sequence[str]) -> None:
    """Raise RequestError unless `named` are the users' files that the run would load."""
    wanted = files_of(info.request, info.suite) if info.request else []
    if set(named) == set(wanted):
        return
    if more := sorted(set(named) - set(wanted)):
        raise RequestError(f"--modules-from {more[0]}: the run {path} did not use it")
    raise RequestError(
        f"{path}: the run loads code from {', '.join(wanted)}; if you trust it, name it again: "
        f"{show_resume(path, wanted)}"
    )


def _complain_if_changed(
    path: Path, info: RunInfo, session: OpenSession, done: Progressed
) -> Mapping[str, str]:
    """Raise RequestError, with what differs, if the run began under other conditions than now.

    Returns the digests of its code. A module that is only found when it is loaded is compared then.
    """
    sources = dict(info.sources)
    for outcome in done.outcomes.values():
        sources |= outcome.facts.sources if outcome.facts else {}
    if not sources:
        raise RequestError(f"{path}: an older version began it and kept no code; start a new run")
    now = session.find_sources(sources)
    known = {name: digest for name, digest in sources.items() if name in now}
    changed = code.first_difference(known, now, session.hello.sources)
    if changed is not None:
        which = code.shown(changed)
        raise RequestError(f"{path}: the code of {which} has changed since; start a new run")
    differs = find_difference(info.environment, environment_of(session.hello))
    if differs is None:
        return sources
    what = f"{differs.key or differs.cause} was {differs.then}, and is {differs.now}"
    if differs.cause == "fingerprint":
        what = "this is another machine"
    raise RequestError(f"{path}: cannot be resumed here: {what}; start a new run")


def judge_published(finished: Finished) -> Finished:
    """Set a bad exit status if a figure of a published network differs from the paper's."""
    info = finished.info
    if not info.suite.published or finished.exit_status != Exit.GOOD:
        return finished
    differs = reproduction.any_differs(finished.rows, info.operations, info.device)
    return replace(finished, exit_status=Exit.BAD_ANSWER if differs else Exit.GOOD)
