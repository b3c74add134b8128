"""Which module to take: plan, reuse what is stored, measure what is missing, choose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import log
from typing import Any

from attn_bench import baseline, environment, measure, networks, registry, suite
from attn_bench.choice import Choice, Recommendation, choose
from attn_bench.coordinator import Precision, Progress
from attn_bench.errors import RequestError
from attn_bench.gain import published_place
from attn_bench.limits import Limit
from attn_bench.networks import Place
from attn_bench.plan import make_plan
from attn_bench.record import Aim, Case, Mode, Network, Plan, Row, Shape, Suite
from attn_bench.registry import Registry
from attn_bench.reuse import Found, Here, stored_rows
from attn_bench.stats import Estimate

SCHEMA = 1
SURE = 0.001  # of being beyond the limit, to spend no more time on a case
BROKEN = ("failed", "timeout", "out_of_memory", "skipped")


class WithinLimit(Precision):
    """A case is done when it surely takes more than may be taken, or when its ratio is precise and
    it is known on which side of the limit it lies."""

    def __init__(self, plan: Plan, precision: float, most: float | None) -> None:
        super().__init__(plan, precision)
        self._most = most

    def _is_done(self, ratio: Estimate) -> bool:
        if self._most is None:
            return super()._is_done(ratio)
        is_decided = ratio.differs_from(self._most, SURE)
        return is_decided and (ratio.log > log(self._most) or super()._is_done(ratio))


@dataclass(frozen=True)
class Question:
    """What to choose for: a backbone with its images, or the shape of a single stage.

    request: the candidates (a suite), and how to measure. place: where in the backbone; None is
    where each module's paper puts it. fresh: reuse nothing that is stored.
    """

    request: measure.Request
    limits: tuple[Limit, ...] = ()
    backbone: str | None = None
    image: Shape | None = None
    place: str | None = None
    shape: Shape | None = None
    mode: Mode | None = None
    fresh: bool = False


def recommend(question: Question, progress: Progress) -> Recommendation:
    """Raises AttnBenchError for what cannot be asked, or where nothing could be measured."""
    _check(question)
    here, known = _here(question.request, progress)
    asked = suite.load(question.request.suite, known)
    aim = _aim(question, asked)
    plan = _plan(question, suite.aimed(asked, aim), here)
    wanted = [case.id for case in plan.measurable]
    stored = {} if question.fresh else stored_rows(wanted, here)
    if any(plan.anchor_of[case_id] not in stored for case_id in wanted):
        stored = {}  # an anchor's own figures are of the run that the ratios are to
    missing = [case_id for case_id in wanted if case_id not in stored]
    finished = _measured(question, aim, missing, progress) if missing else None
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
        "reasons": choice.reasons,
        "unknown": [*choice.unknown, *answer.notes],
        "anchor": asdict(choice.anchor) if choice.anchor else None,
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


def _check(question: Question) -> None:
    if question.backbone is None:
        return
    networks.backbone(question.backbone, "--backbone")
    if question.place is not None:
        try:
            problem = Place.read(question.place).problem_in(question.backbone)
        except ValueError as error:
            problem = str(error)
        if problem:
            raise RequestError(f"--place {question.place!r}: {problem}")


def _here(request: measure.Request, progress: Progress) -> tuple[Here, Registry]:
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
        return Aim(shapes=(question.shape,), mode=question.mode)
    assert question.image is not None
    places = [question.place] if question.place else _places(question.backbone, asked)
    return Aim(
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
    candidates = [case for case in cases if not _is_anchor(case, plan)]
    conditions = {(c.dtype, c.memory_format, c.mode, c.execution) for c in candidates}
    if len(conditions) > 1:
        one = " or ".join(" ".join(condition) for condition in sorted(conditions))
        raise RequestError(f"{asked.source}: candidates compare in one condition: {one}? (--where)")
    return plan


def _is_at_its_place(case: Case, place: str | None) -> bool:
    if case.network is None or case.is_plain or place is not None:
        return True
    return case.network.place == published_place(case.variant.label, case.network.backbone)


def _is_anchor(case: Case, plan: Plan) -> bool:
    return plan.anchor_of[case.id] == case.id


# --- the answer -----------------------------------------------------------------------------------


def _measured(
    question: Question, aim: Aim, missing: Sequence[str], progress: Progress
) -> measure.Finished:
    request = replace(
        question.request, modules=None, where=f"case_id in {list(missing)!r}", aim=aim
    )
    limits = [x.most for x in question.limits if x.metric == "latency" and x.is_relative]
    most = limits[0] if limits and limits[0] > 0 else None
    return measure.run(
        request, progress, lambda plan, settings: WithinLimit(plan, settings.precision, most)
    )


def _answer(
    question: Question,
    plan: Plan,
    stored: Mapping[str, Found],
    finished: measure.Finished | None,
) -> Recommendation:
    rows = {case_id: found.row for case_id, found in stored.items()}
    if finished is not None:
        rows |= {row.case_id: row for row in finished.rows}
    rows |= {case_id: _ruled_out(plan, case_id) for case_id in plan.unsupported}
    cases = [case for case in plan.cases if case.id in rows]
    anchors = [rows[case.id] for case in cases if _is_anchor(case, plan)]
    candidates = [rows[case.id] for case in cases if not _is_anchor(case, plan)]
    anchor = anchors[0] if anchors else None
    choice = choose(candidates, anchor, question.limits)
    reused: dict[str, int] = {}
    for case_id, found in stored.items():
        if rows[case_id] is found.row:
            reused[found.run.path.name] = reused.get(found.run.path.name, 0) + 1
    info = finished.info if finished else _of_anchor(plan, stored)
    return Recommendation(
        title=_title(question, info),
        choice=choice,
        info=info,
        notes=_notes(info, choice),
        reused=reused,
        exit_status=_exit_status(choice, finished),
        path=finished.path if finished else None,
        trouble=finished.trouble if finished else None,
    )


def _of_anchor(plan: Plan, stored: Mapping[str, Found]) -> Mapping[str, Any]:
    """run.json of the run that the anchor's own figures are of."""
    return next(
        found.run.info for case_id, found in stored.items() if plan.anchor_of[case_id] == case_id
    )


def _ruled_out(plan: Plan, case_id: str) -> Row:
    case = next(case for case in plan.cases if case.id == case_id)
    return Row(**case.columns(), status="unsupported", error=plan.unsupported[case_id])


def _title(question: Question, info: Mapping[str, Any]) -> str:
    where = question.backbone or "a stage"
    shape = question.image if question.backbone else question.shape
    environment = info["environment"]
    words = [
        f"{where} at {str(shape).replace('x', '×')}",
        question.mode or "inference",
        f"{environment['device']}, {environment['threads']} threads",
    ]
    limits = ", ".join(map(str, question.limits))
    return f"{', '.join(words)}; {f'limits: {limits}' if limits else 'no limits'}"


def _notes(info: Mapping[str, Any], choice: Choice) -> tuple[str, ...]:
    deviation, origin = baseline.run_to_run_sd(info["environment"]["fingerprint"])
    said = [
        f"costs are of this machine, batch and thread count; ratios differ by ± "
        f"{100 * deviation:.1f} % from run to run ({origin})"
    ]
    if any(limit.metric == "latency" and not limit.is_relative for limit in choice.limits):
        said.append(
            "a limit in milliseconds holds for the hour it was measured in: a shared machine is "
            "slower at times; a limit as +10% does not mind"
        )
    return tuple(said)


def _exit_status(choice: Choice, finished: measure.Finished | None) -> int:
    if finished is not None and finished.exit_status == 130:
        return 130
    if choice.is_open:
        measured = any(candidate.row.ratio is not None for candidate in choice.candidates)
        return 4 if measured else 3
    if choice.chosen is None:
        return 1
    return 3 if any(c.row.status in BROKEN for c in choice.candidates) else 0
