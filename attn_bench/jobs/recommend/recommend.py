"""Recommends a module: plan, reuse stored figures, measure missing ones, choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from attn_bench.analysis.estimates import Timings
from attn_bench.catalog import backbones, code
from attn_bench.catalog.backbones import Place
from attn_bench.catalog.registry import Registry
from attn_bench.engine.progress import Progress
from attn_bench.engine.run import Finished
from attn_bench.engine.session import modules_without_worker, open_session
from attn_bench.jobs.check.stored import find_run_to_run
from attn_bench.jobs.recommend.answer import Recommendation, RecommendRequest
from attn_bench.jobs.recommend.choice import Choice, choose
from attn_bench.jobs.recommend.reuse import Found, Here, IsGood, find_stored, stored_names
from attn_bench.jobs.run import run
from attn_bench.model import machine
from attn_bench.model.axes import HOST, conditions_of
from attn_bench.model.case import Case, Network
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Interval
from attn_bench.model.request import RunRequest
from attn_bench.model.row import Row
from attn_bench.model.run import Plan, Settings
from attn_bench.model.status import FAULTS, Exit
from attn_bench.model.suite import Aim, Suite
from attn_bench.papers.gains import published_place
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan, make_settings
from attn_bench.store import runs
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import StoredRun


def recommend(question: RecommendRequest, progress: Progress) -> Recommendation:
    """Answer the question. Raises AttnBenchError if it is wrong or nothing could be measured."""
    question = _check(question)
    here, known = _find_here(question.request, progress)
    suite = suite_file.load(question.request.suite, known)
    aim = _aim(question, suite)
    aimed = suite_file.aim_suite(suite, aim)
    plan = _plan(question, aimed, here)
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
    """Check the question, normalise its place, and make its limit of the ratio a setting."""
    place = question.place
    if question.backbone is not None:
        backbones.backbone(question.backbone, "--backbone")
        try:
            problem = Place.read(place).problem_in(question.backbone) if place else None
            place = backbones.one_spelling(place, question.backbone) if place else None
        except ValueError as error:
            problem = str(error)
        if problem:
            raise RequestError(f"--place {question.place!r}: {problem}")
    limits = [limit.most for limit in question.limits if limit.is_of_ratio]
    request = replace(question.request, most_ratio=min(limits, default=None))
    return replace(question, request=request, place=place)


def _find_here(request: RunRequest, progress: Progress) -> tuple[Here, Registry]:
    """The facts of this machine and the modules; starts a worker only for a GPU or foreign code."""
    known = modules_without_worker(request.modules_from)
    if known is not None and machine.possible_devices(request.device) == (HOST,):
        sources = code.Loaded().find(stored_names())
        return Here(HOST, request.threads, request.pages, sources), known
    with open_session(request, progress) as session:
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
    return here, session.modules


def _aim(question: RecommendRequest, suite: Suite) -> Aim:
    if question.backbone is None:
        assert question.shape is not None
        _, *sizes = str(question.shape).split("x")
        name = f"recommend-{'x'.join(sizes)}"
        return Aim(name, shapes=(question.shape,), mode=question.mode)
    assert question.image is not None
    places = [question.place] if question.place else _places(question.backbone, suite)
    return Aim(
        f"recommend-{question.backbone}",
        networks=tuple(Network(question.backbone, place) for place in places),
        images=(question.image,),
        mode=question.mode,
    )


def _places(backbone: str, suite: Suite) -> list[str]:
    """The places of the candidates in their papers."""
    variants = [variant for grid in suite.grids for variant in grid.variants()]
    return sorted({published_place(variant.label, backbone) for variant in variants})


def _plan(question: RecommendRequest, suite: Suite, here: Here) -> Plan:
    """Plan each candidate once: at the place of the question, or at the place of its paper."""
    request = question.request
    plan = make_plan(suite, here.device, modules=request.modules, where=request.where)
    cases = tuple(case for case in plan.cases if _is_at_its_place(case, question.place))
    if not cases:
        raise RequestError(f"{suite.source}: has no candidate at --place {question.place}")
    plan = replace(plan, cases=cases)
    candidates = [case for case in cases if not _is_baseline(case, plan)]
    conditions = {tuple(conditions_of(case).values()) for case in candidates}
    if len(conditions) > 1:
        one = " or ".join(" ".join(condition) for condition in sorted(conditions))
        raise RequestError(
            f"{suite.source}: candidates must share their conditions: select {one} with --where"
        )
    return plan


def _is_at_its_place(case: Case, place: str | None) -> bool:
    if case.network is None or case.is_plain or place is not None:
        return True
    return case.network.place == published_place(case.variant.label, case.network.backbone)


def _is_baseline(case: Case, plan: Plan) -> bool:
    return plan.baseline_of[case.id] == case.id


def _good_enough(settings: Settings) -> IsGood:
    """A function that tells whether a stored figure is good enough to be reused.

    It is if it is precise enough, or decides about the limit. It also is if it was measured for as
    long with the same settings, since a new measurement would be no better.
    """

    def is_good(row: Row, run: StoredRun) -> bool:
        ratio, then = row.interval("ratio"), run.info.settings
        assert ratio is not None
        most = settings.most_ratio
        is_precise = ratio.half_width <= settings.precision * ratio.value
        is_decided = most is not None and not ratio.lo <= most <= ratio.hi
        if is_decided or (is_precise and most is None):
            return True
        return (
            then.most_ratio == most
            and then.budget_s >= settings.budget_s
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
    baseline = next((rows[case.id] for case in cases if _is_baseline(case, plan)), None)
    candidates = [rows[case.id] for case in cases if not _is_baseline(case, plan)]
    choice = choose(candidates, baseline, question.limits)
    choice = replace(choice, direct=_compare_directly(choice, stored, finished))
    info = _find_baseline_info(plan, stored) if stored else None
    if info is None:
        assert finished is not None  # every missing figure was measured
        info = finished.info
    return Recommendation(
        request=question,
        case=cases[0],
        choice=choice,
        info=info,
        run_to_run=find_run_to_run(info.environment.fingerprint),
        reused=Counter(found.run.path.name for found in stored.values()),
        exit_status=_exit_status(choice, finished),
        measured=finished,
    )


def _compare_directly(
    choice: Choice, stored: Mapping[str, Found], finished: Finished | None
) -> dict[str, Interval]:
    """The paired ratios of the other candidates to the chosen one, if one run has them all."""
    paths = {found.run.path for found in stored.values()} | ({finished.path} if finished else set())
    if choice.chosen is None or len(paths) != 1:
        return {}
    chosen = choice.chosen.row.case_id
    pairs = {c.row.case_id: chosen for c in choice.candidates if c is not choice.chosen}
    try:
        ratios = Timings(runs.load_blocks(paths.pop())).ratios(pairs)
    except RequestError:  # the answer does not need them
        return {}
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
    if is_broken or all(candidate.row.ratio is None for candidate in choice.candidates):
        return Exit.NOT_MEASURED
    return Exit.BAD_ANSWER if choice.chosen is None else Exit.GOOD
