"""Which module to take: plan, reuse what is stored, measure what is missing, choose."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from attn_bench.catalog import networks, registry
from attn_bench.catalog.networks import Place
from attn_bench.catalog.registry import Registry
from attn_bench.engine import measure
from attn_bench.engine.coordinator import Progress
from attn_bench.jobs.check import stored
from attn_bench.jobs.recommend.choice import Choice, Recommendation, choose
from attn_bench.jobs.recommend.limits import Limit
from attn_bench.jobs.recommend.reuse import Found, Here, IsGood, stored_rows
from attn_bench.model import environment, units
from attn_bench.model.axes import Mode
from attn_bench.model.case import Case, Network, Shape
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.model.row import Row
from attn_bench.model.run import Plan, Settings
from attn_bench.model.suite import Aim, Suite
from attn_bench.papers.gain import published_place
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan, settle
from attn_bench.store.runs import StoredRun
from attn_bench.view import remarks
from attn_bench.view.reasons import reasons, unknown

SCHEMA = 1
BROKEN = ("failed", "timeout", "out_of_memory", "skipped")


@dataclass(frozen=True)
class Question:
    """What to choose for: a backbone with its images, or the shape of a single stage.

    request: the candidates (a suite), and how to measure. place: where in the backbone; None is
    where each module's paper puts it. fresh: reuse nothing that is stored.
    """

    request: RunRequest
    limits: tuple[Limit, ...] = ()
    backbone: str | None = None
    image: Shape | None = None
    place: str | None = None
    shape: Shape | None = None
    mode: Mode | None = None
    fresh: bool = False


def recommend(question: Question, progress: Progress) -> Recommendation:
    """Raises AttnBenchError for what cannot be asked, or where nothing could be measured."""
    question = _checked(question)
    here, known = _here(question.request, progress)
    asked = suite_file.load(question.request.suite, known)
    aim = _aim(question, asked)
    moved = suite_file.aimed(asked, aim)
    plan = _plan(question, moved, here)
    wanted = {case.id: case for case in plan.measurable}
    settings = settle(moved, plan, question.request)
    stored = {} if question.fresh else stored_rows(wanted, here, _good_enough(settings))
    if any(plan.baseline_of[case_id] not in stored for case_id in wanted):
        stored = {}  # a baseline's own figures are of the run that the ratios are to
    missing = [case_id for case_id in wanted if case_id not in stored]
    finished = None
    if missing:
        request = replace(
            question.request,
            modules=None,
            where=f"case_id in {missing!r}",
            aim=aim,
            budget_s=settings.budget_s,  # as for all: what is left is what needs it
        )
        finished = measure.run(request, progress)
    return _answer(question, plan, stored, finished)


def as_json(answer: Recommendation) -> str:
    """Everything, for programs."""
    choice = answer.choice
    content = {
        "schema": SCHEMA,
        "question": answer.title,
        "limits": [str(limit) for limit in choice.limits],
        "chosen": choice.chosen.label if choice.chosen else None,
        "paper": choice.paper,
        "reasons": answer.reasons,
        "unknown": answer.unknown,
        "baseline": asdict(choice.baseline) if choice.baseline else None,
        "candidates": [
            {
                "label": candidate.label,
                "fits": candidate.fits,
                "missed": candidate.missed,
                "on_front": sorted(candidate.on_front),
                "gains": [asdict(gain) for gain in candidate.gains.values()],
                "row": asdict(candidate.row),
            }
            for candidate in choice.candidates
        ],
        "reused": answer.reused,
        "exit_status": answer.exit_status,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


# --- what is asked --------------------------------------------------------------------------------


def _checked(question: Question) -> Question:
    """The question with its place in the one spelling, and its limit of the ratio as a setting."""
    place = question.place
    if question.backbone is not None:
        networks.backbone(question.backbone, "--backbone")
        try:
            problem = Place.read(place).problem_in(question.backbone) if place else None
            place = networks.one_spelling(place, question.backbone) if place else None
        except ValueError as error:
            problem = str(error)
        if problem:
            raise RequestError(f"--place {question.place!r}: {problem}")
    limits = [x.most for x in question.limits if x.metric == "latency" and x.is_relative]
    request = replace(question.request, most_ratio=min(limits, default=None))
    return replace(question, request=request, place=place)


def _here(request: RunRequest, progress: Progress) -> tuple[Here, Registry]:
    """A worker is asked only where it alone can tell: of a GPU, and of code that is not ours."""
    has_code_to_ask = bool(request.modules_from or registry.entry_points())
    may_be_gpu = request.device == "cuda" or (
        request.device == "auto" and environment.may_have_gpu()
    )
    if not has_code_to_ask and not may_be_gpu:
        return Here("cpu", request.threads), registry.builtin()
    with measure.Interruptible():
        worker = measure.started(request)
        try:
            progress.stage("starting", 1, "")
            hello = worker.open()
            known = measure.described(worker)
        finally:
            worker.end()
    facts = hello.device_facts if hello.device == "cuda" else None
    return Here(hello.device, request.threads, request.modules_from, facts), known


def _aim(question: Question, asked: Suite) -> Aim:
    if question.backbone is None:
        assert question.shape is not None
        _, *sizes = str(question.shape).split("x")
        name = f"recommend-{'x'.join(sizes)}"
        return Aim(name, shapes=(question.shape,), mode=question.mode)
    assert question.image is not None
    places = [question.place] if question.place else _places(question.backbone, asked)
    return Aim(
        f"recommend-{question.backbone}",
        networks=tuple(Network(question.backbone, place) for place in places),
        images=(question.image,),
        mode=question.mode,
    )


def _places(backbone: str, asked: Suite) -> list[str]:
    """Where the candidates' papers put them."""
    variants = [variant for grid in asked.grids for variant in grid.variants()]
    return sorted({published_place(variant.label, backbone) for variant in variants})


def _plan(question: Question, asked: Suite, here: Here) -> Plan:
    """Each candidate once: at the place that was asked for, or at its paper's."""
    request = question.request
    plan = make_plan(asked, here.device, modules=request.modules, where=request.where)
    cases = tuple(case for case in plan.cases if _is_at_its_place(case, question.place))
    if not cases:
        raise RequestError(f"{asked.source}: has no candidate at --place {question.place}")
    plan = replace(plan, cases=cases)
    candidates = [case for case in cases if not _is_baseline(case, plan)]
    conditions = {(c.dtype, c.memory_format, c.mode, c.execution) for c in candidates}
    if len(conditions) > 1:
        one = " or ".join(" ".join(condition) for condition in sorted(conditions))
        raise RequestError(f"{asked.source}: candidates compare in one condition: {one}? (--where)")
    return plan


def _is_at_its_place(case: Case, place: str | None) -> bool:
    if case.network is None or case.is_plain or place is not None:
        return True
    return case.network.place == published_place(case.variant.label, case.network.backbone)


def _is_baseline(case: Case, plan: Plan) -> bool:
    return plan.baseline_of[case.id] == case.id


def _good_enough(settings: Settings) -> IsGood:
    """A stored figure is, if it is as precise as is asked now, or decides about the limit, or was
    measured for as long and with the same aim: measuring again would tell no more."""

    def is_good(row: Row, run: StoredRun) -> bool:
        ratio, then = row.interval("ratio"), run.info["settings"]
        assert ratio is not None
        most = settings.most_ratio
        is_precise = ratio.half_width <= settings.precision * ratio.value
        is_decided = most is not None and not ratio.lo <= most <= ratio.hi
        if is_decided or (is_precise and most is None):
            return True
        tried_s, precision = then.get("budget_s"), then.get("precision")
        return (
            then.get("most_ratio") == most
            and isinstance(tried_s, int | float)
            and tried_s >= settings.budget_s
            and isinstance(precision, int | float)
            and precision <= settings.precision
        )

    return is_good


# --- the answer -----------------------------------------------------------------------------------


def _answer(
    question: Question,
    plan: Plan,
    stored: Mapping[str, Found],
    finished: measure.Finished | None,
) -> Recommendation:
    rows = {case_id: found.row for case_id, found in stored.items()}
    if finished is not None:
        rows = {row.case_id: row for row in finished.rows} | rows
    rows |= {case.id: _ruled_out(plan, case) for case in plan.cases if case.id in plan.unsupported}
    cases = [case for case in plan.cases if case.id in rows]
    baseline = next((rows[case.id] for case in cases if _is_baseline(case, plan)), None)
    candidates = [rows[case.id] for case in cases if not _is_baseline(case, plan)]
    choice = choose(candidates, baseline, question.limits)
    info = _of_baseline(plan, stored) if stored else finished.info if finished else {}
    return Recommendation(
        title=_title(question, cases, info),
        choice=choice,
        info=info,
        reasons=reasons(choice),
        unknown=(*unknown(choice), *_of_the_figures(question, info, choice, finished)),
        warnings=tuple(remarks.warnings(finished.info)) if finished else (),
        reused=Counter(found.run.path.name for found in stored.values()),
        exit_status=_exit_status(choice, finished),
        path=finished.path if finished else None,
        trouble=finished.trouble if finished else None,
    )


def _of_baseline(plan: Plan, stored: Mapping[str, Found]) -> Mapping[str, Any]:
    """run.json of the run that the baseline's own figures are of."""
    return next(
        found.run.info for case_id, found in stored.items() if plan.baseline_of[case_id] == case_id
    )


def _ruled_out(plan: Plan, case: Case) -> Row:
    return Row(**case.columns(), status="unsupported", error=plan.unsupported[case.id])


def _title(question: Question, cases: Sequence[Case], info: Mapping[str, Any]) -> str:
    case, environment = cases[0], info["environment"]
    usual = ("float32", "contiguous", "eager")
    words = [
        f"{question.backbone or 'a stage'} at {str(case.shape).replace('x', '×')}",
        *(w for w in (case.dtype, case.memory_format, case.execution) if w not in usual),
        case.mode,
        environment["device"],
        units.number(environment["threads"], "thread"),
    ]
    limits = ", ".join(map(str, question.limits))
    return f"{', '.join(words)}; {f'limits: {limits}' if limits else 'no limits'}"


def _of_the_figures(
    question: Question,
    info: Mapping[str, Any],
    choice: Choice,
    finished: measure.Finished | None,
) -> list[str]:
    deviation, origin = stored.run_to_run_sd(info["environment"]["fingerprint"])
    said = [
        f"costs are of this machine, batch and thread count; ratios differ by ± "
        f"{100 * deviation:.1f} % from run to run ({origin})"
    ]
    if any(limit.metric == "latency" and not limit.is_relative for limit in choice.limits):
        said.append(
            "a limit in milliseconds holds for the hour it was measured in: a shared machine is "
            "slower at times; a limit as +10% does not mind"
        )
    if question.request.out and finished is None:
        said.append(f"nothing had to be measured, so that {question.request.out} was not written")
    return said


def _exit_status(choice: Choice, finished: measure.Finished | None) -> int:
    if finished is not None and finished.exit_status == 130:
        return 130
    if choice.is_open:
        return 4
    is_broken = any(candidate.row.status in BROKEN for candidate in choice.candidates)
    if is_broken or all(candidate.row.ratio is None for candidate in choice.candidates):
        return 3
    return 1 if choice.chosen is None else 0
