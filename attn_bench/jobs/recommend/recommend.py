"""Recommends a module: plan, reuse stored figures, measure missing ones, choose."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from attn_bench.analysis.estimates import Timings
from attn_bench.catalog import backbones, code
from attn_bench.catalog.backbones import Backbone, Place
from attn_bench.catalog.registry import Registry
from attn_bench.engine.progress import Progress
from attn_bench.engine.run import Finished
from attn_bench.engine.session import modules_without_worker, open_session
from attn_bench.jobs.check.stored import find_run_to_run
from attn_bench.jobs.recommend.answer import USUAL_SUITE, Recommendation, RecommendRequest
from attn_bench.jobs.recommend.choice import NO_TRAINING, Choice, Training, choose
from attn_bench.jobs.recommend.limits import known_interval
from attn_bench.jobs.recommend.more_time import time_to_decide
from attn_bench.jobs.recommend.places import complete, places_of, spelled
from attn_bench.jobs.recommend.reuse import Found, Here, IsGood, find_stored, stored_names
from attn_bench.jobs.run import run
from attn_bench.model import machine
from attn_bench.model.axes import HOST, conditions_of
from attn_bench.model.case import NOTHING, Case, Network
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.model.run import Block, Plan, Settings
from attn_bench.model.status import FAULTS, Exit
from attn_bench.model.suite import Aim, Suite
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan, make_settings
from attn_bench.store import runs
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import StoredRun


def recommend(question: RecommendRequest, progress: Progress) -> Recommendation:
    """Answer the question. Raises AttnBenchError if it is wrong or nothing could be measured."""
    question = _check(question)
    here, known, network = _find_here(question, progress)
    question = complete(question, network)
    suite = suite_file.load(question.request.suite, known)
    also = _others(question, known)
    places = places_of(question, suite, also, network)
    aim = _aim(question, places, also)
    aimed = suite_file.aim_suite(suite, aim)
    plan = _plan(question, aimed, here, places)
    cases = {case.id: case for case in plan.measurable}
    settings = make_settings(aimed, plan, question.request)
    stored = {} if question.fresh else find_stored(cases, here, _good_enough(settings))
    if any(plan.baseline_of[case_id] not in stored for case_id in cases):
        stored = {}  # ratios need the baseline of the same run
    missing = [case_id for case_id in cases if case_id not in stored]
    finished = None
    if missing:
        request = replace(
            question.request,
            modules=None,
            where=f"case_id in {missing!r}",
            aim=aim,
            budget_s=settings.budget_s,  # the full budget: the missing cases need the time
        )
        finished = run(request, progress)
    return _answer(question, plan, stored, finished)


# --- the question ---------------------------------------------------------------------------------


def _check(question: RecommendRequest) -> RecommendRequest:
    """Check the question, and make its limit of the ratio a setting."""
    if question.backbone is not None:
        spelled(question, backbones.backbone(question.backbone, "--backbone"))
    limits = [each.most for each in question.limits if each.is_of_ratio and not each.of_training]
    request = replace(question.request, most_ratio=min(limits, default=None))
    return replace(question, request=request)


def _find_here(
    question: RecommendRequest, progress: Progress
) -> tuple[Here, Registry, Backbone | None]:
    """The facts of this machine, the modules, and the facts of the backbone.

    Starts a worker only for a GPU or foreign code.
    """
    request, backbone = question.request, question.backbone
    network = backbones.backbone(backbone) if backbone else None
    patterns = [place.layers for place in map(Place.read, question.places) if place.layers]
    must_look = backbone is not None and (backbones.is_own(backbone) or bool(patterns))
    known = modules_without_worker(request.modules_from)
    if known is not None and not must_look and machine.possible_devices(request.device) == (HOST,):
        sources = code.Loaded().find(stored_names())
        return Here(HOST, request.threads, request.pages, sources), known, network
    with open_session(request, progress) as session:
        if must_look:
            assert backbone is not None
            assert question.image is not None
            network = session.find_network(backbone, question.image, patterns)
        hello, found = session.hello, session.find_sources(stored_names())
    here = Here(
        hello.device,
        request.threads,
        request.pages,
        found,
        request.modules_from,
        frozenset(hello.sources),
        hello.device_facts if hello.device != HOST else None,
    )
    return here, session.modules, network


def _others(question: RecommendRequest, known: Registry) -> tuple[str, ...]:
    """The candidates beside those of the suite: `none` in a slot, and the user's modules.

    A suite of the user's names all of its candidates.
    """
    request = question.request
    nothing = (NOTHING,) if question.replaces else ()
    if request.suite != USUAL_SUITE:
        return nothing
    return (*nothing, *(entry.name for entry in known if entry.origin in request.modules_from))


def _aim(
    question: RecommendRequest, places: Mapping[str, tuple[str, ...]], also: tuple[str, ...]
) -> Aim:
    executions = (question.execution,) if question.execution else ()
    if question.backbone is None:
        assert question.shape is not None
        _, *sizes = str(question.shape).split("x")
        name = f"recommend-{'x'.join(sizes)}"
        return Aim(
            name,
            shapes=(question.shape,),
            modes=question.modes,
            also=also,
            executions=executions,
        )
    assert question.image is not None
    wanted = dict.fromkeys(place for each in places.values() for place in each)
    return Aim(
        f"recommend-{re.sub(r'[^0-9A-Za-z_]+', '-', question.backbone)}",
        networks=tuple(Network(question.backbone, place) for place in wanted),
        images=(question.image,),
        modes=question.modes,
        also=also,
        executions=executions,
    )


def _plan(
    question: RecommendRequest, suite: Suite, here: Here, places: Mapping[str, tuple[str, ...]]
) -> Plan:
    """Plan each candidate at its places alone."""
    request = question.request
    modules = f"{request.modules},{NOTHING}" if question.replaces and request.modules else None
    plan = make_plan(suite, here.device, modules=modules or request.modules, where=request.where)
    cases = tuple(
        case
        for case in plan.cases
        if case.network is None
        or case.is_plain
        or case.network.place in places.get(case.variant.label, ())
    )
    if not cases:
        raise RequestError(f"{suite.source}: has no candidate at {', '.join(question.places)}")
    plan = replace(plan, cases=cases)
    candidates = [case for case in cases if not _is_baseline(case, plan)]
    conditions = {_conditions(case, question) for case in candidates}
    if len(conditions) > 1:
        one = " or ".join(" ".join(condition) for condition in sorted(conditions))
        raise RequestError(
            f"{suite.source}: candidates must share their conditions: select {one} with --where"
        )
    return plan


def _conditions(case: Case, question: RecommendRequest) -> tuple[str, ...]:
    """What the candidates must share; the mode, too, unless both are asked for."""
    found = conditions_of(case)
    return tuple(found[name] for name in found if name != "mode" or len(question.modes) < 2)


def _is_baseline(case: Case, plan: Plan) -> bool:
    return plan.baseline_of[case.id] == case.id


def _good_enough(settings: Settings) -> IsGood:
    """A function that tells whether a stored figure is good enough to be reused.

    It is if it is precise enough, or decides about the limit. It also is if it was measured for as
    long with the same settings, since a new measurement would be no better.
    """

    def is_good(row: Row, run: StoredRun) -> bool:
        ratio, then = known_interval(row, "ratio"), run.info.settings
        assert ratio is not None
        most = settings.most_ratio
        is_precise = ratio.half_width <= settings.precision * ratio.value
        is_decided = most is not None and not ratio.lo <= most <= ratio.hi
        if is_decided or (is_precise and most is None):
            return True
        return (
            then.most_ratio == most
            and then.budget_s >= settings.budget_s
            and then.sessions >= settings.sessions
            and then.precision <= settings.precision
        )

    return is_good


# --- the answer -----------------------------------------------------------------------------------


def _answer(
    question: RecommendRequest,
    plan: Plan,
    stored: Mapping[str, Found],
    finished: Finished | None,
) -> Recommendation:
    rows = {case_id: found.row for case_id, found in stored.items()}
    if finished is not None:
        rows = {row.case_id: row for row in finished.rows} | rows
    rows |= {
        case.id: _make_unsupported_row(plan, case)
        for case in plan.cases
        if case.id in plan.unsupported
    }
    cases = [case for case in plan.cases if case.id in rows]
    found = {mode: _split(plan, cases, rows, mode) for mode in dict.fromkeys(c.mode for c in cases)}
    main = "inference" if "inference" in found else next(iter(found))
    training = Training.of(*found["training"]) if len(found) > 1 else NO_TRAINING
    baseline, candidates = found[main]
    choice = choose(candidates, baseline, question.limits, question.replaces, training)
    blocks = _blocks_of(stored, finished)
    choice = replace(choice, direct=_compare_directly(choice, blocks))
    info = _find_baseline_info(plan, stored) if stored else None
    if info is None:
        assert finished is not None  # every missing figure was measured
        info = finished.info
    return Recommendation(
        request=question,
        cases=tuple(case for case in cases if case.mode == main),
        choice=choice,
        info=info,
        run_to_run=find_run_to_run(info.environment.fingerprint),
        reused=Counter(found.run.path.name for found in stored.values()),
        exit_status=_exit_status(choice, finished),
        measured=finished,
        more=time_to_decide(choice, blocks, info.calling_share),
    )


def _split(
    plan: Plan, cases: Sequence[Case], rows: Mapping[str, Row], mode: str
) -> tuple[Row | None, list[Row]]:
    """The rows of the baseline and of the candidates in that mode."""
    of_mode = [case for case in cases if case.mode == mode]
    baselines = [rows[case.id] for case in of_mode if _is_baseline(case, plan)]
    candidates = [rows[case.id] for case in of_mode if not _is_baseline(case, plan)]
    return next(iter(baselines), None), candidates


def _blocks_of(stored: Mapping[str, Found], finished: Finished | None) -> list[Block]:
    """The blocks of the run that all figures come from; none if several runs have them."""
    paths = {found.run.path for found in stored.values()} | ({finished.path} if finished else set())
    if len(paths) != 1:
        return []
    try:
        return runs.load_blocks(paths.pop())
    except RequestError:  # the answer does not need them
        return []


def _compare_directly(choice: Choice, blocks: Sequence[Block]) -> dict[str, Interval]:
    """The paired ratios of the other candidates to the chosen one."""
    if choice.chosen is None or not blocks:
        return {}
    chosen = choice.chosen.row.case_id
    pairs = {c.row.case_id: chosen for c in choice.candidates if c is not choice.chosen}
    ratios = Timings(blocks).ratios(pairs)
    return {case_id: ratio.interval() for case_id, ratio in ratios.items()}


def _find_baseline_info(plan: Plan, stored: Mapping[str, Found]) -> RunInfo:
    """run.json of the stored run with the baseline's figures."""
    return next(
        found.run.info for case_id, found in stored.items() if plan.baseline_of[case_id] == case_id
    )


def _make_unsupported_row(plan: Plan, case: Case) -> Row:
    return Row(**case.columns(), status="unsupported", error=plan.unsupported[case.id])


def _exit_status(choice: Choice, finished: Finished | None) -> Exit:
    if finished is not None and finished.exit_status == Exit.INTERRUPTED:
        return Exit.INTERRUPTED
    if choice.is_open:
        return Exit.UNDECIDED
    is_broken = any(candidate.row.status in FAULTS for candidate in choice.candidates)
    if is_broken or not any(candidate.is_measured for candidate in choice.candidates):
        return Exit.NOT_MEASURED
    is_answered = choice.chosen is not None or choice.keeps_own
    return Exit.GOOD if is_answered else Exit.BAD_ANSWER
