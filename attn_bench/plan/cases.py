"""Plans the cases of a suite and the settings of a run. Pure: same input, same plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from attn_bench.model.axes import DeviceName
from attn_bench.model.bounds import MOST_CASES
from attn_bench.model.case import PLAIN, Case, Network, Variant
from attn_bench.model.condition import Condition
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.request import RunRequest
from attn_bench.model.row import CASE_COLUMNS
from attn_bench.model.run import Plan, Settings
from attn_bench.model.suite import Suite
from attn_bench.papers.reproduction import published_cases

SECONDS_PER_CASE = 2.0
LEAST_BUDGET_S = 3.0
PRECISION = 0.02
QUICK_FACTOR = 0.2
QUICK_PRECISION = 0.05
SESSIONS = 5


def make_plan(
    suite: Suite, device: DeviceName, *, modules: str | None = None, where: str | None = None
) -> Plan:
    """The cases of `suite` on `device`, each with its baseline.

    modules: globs on module names, separated by commas.
    where: a condition on the columns of a case.
    The baselines of the selected cases always remain. Raises RequestError if no case remains.
    """
    rules = [
        Condition(rule, CASE_COLUMNS, f"{suite.source}: leave_out") for rule in suite.leave_out
    ]
    if modules and (problem := _unmatched(suite, modules)):
        raise RequestError(problem)
    is_selected = make_selection(modules, where)
    selected = []
    for case in _all_cases(suite, device):
        columns = case.columns()
        if any(rule(columns) for rule in rules):
            continue
        if is_selected(columns):
            selected.append(case)
        if len(selected) > MOST_CASES:
            raise RequestError(f"{suite.source}: has more than {MOST_CASES} cases")
    if not selected:
        raise RequestError(_nothing_left(suite, modules, where))
    variants = {variant.label: variant for grid in suite.grids for variant in grid.variants()}
    baseline = variants.get(suite.baseline, Variant(suite.baseline))
    baselines = {case.id: _baseline_case(case, baseline) for case in selected}
    # Keyed by id, so that a case named twice is measured once. The sort is stable: within a shape
    # or backbone, the order of the suite stays, and baselines come last.
    cases = {case.id: case for case in [*selected, *baselines.values()]}
    at = {group: index for index, group in enumerate(dict.fromkeys(map(_where, selected)))}
    ordered = sorted(
        cases.values(),
        key=lambda case: (at[_where(case)], case.is_plain or case.variant == baseline),
    )
    return Plan(
        cases=tuple(ordered),
        baseline_of={case.id: baselines.get(case.id, case).id for case in ordered},
        unsupported={case.id: reason for case in ordered if (reason := _unsupported(case))},
    )


def only(plan: Plan, modules: Collection[str]) -> Plan:
    """`plan` without the cases of other modules; plain backbones stay."""
    cases = tuple(c for c in plan.cases if c.variant.module in modules or c.is_plain)
    return replace(plan, cases=cases)


def make_selection(modules: str | None, where: str | None) -> Callable[[Mapping[str, Any]], bool]:
    """A function that tells, from the columns of a case, whether the request selects it."""
    condition = Condition(where, CASE_COLUMNS) if where else None

    def is_selected(columns: Mapping[str, Any]) -> bool:
        if modules and not matches(columns["module"], modules):
            return False
        return condition is None or condition(columns)

    return is_selected


def make_settings(suite: Suite, plan: Plan, request: RunRequest) -> Settings:
    """How to measure `plan`: the values of the request, else of the suite, else the defaults."""
    usual_s = suite.budget_s or max(LEAST_BUDGET_S, SECONDS_PER_CASE * len(plan.measurable))
    usual = suite.precision or PRECISION
    quick = request.quick
    return Settings(
        budget_s=request.budget_s or (usual_s * QUICK_FACTOR if quick else usual_s),
        precision=request.precision or (max(QUICK_PRECISION, usual) if quick else usual),
        sessions=request.sessions or suite.sessions or SESSIONS,
        seed=request.seed,
        threads=request.threads,
        timeout_s=request.timeout_s,
        most_ratio=request.most_ratio,
        pages=request.pages,
    )


def _baseline_case(case: Case, baseline: Variant) -> Case:
    """The baseline of `case`; for a network, the plain backbone."""
    if case.network is None:
        return replace(case, variant=baseline)
    return replace(case, variant=Variant(PLAIN), network=Network(case.network.backbone))


def _where(case: Case) -> tuple[str | None, str]:
    """The subject of a table: a shape, or a backbone at the size of its images."""
    return case.network.backbone if case.network else None, str(case.shape)


def _all_cases(suite: Suite, device: DeviceName) -> Iterator[Case]:
    if suite.published:
        yield from published_cases(device)
    values = product(*suite.axes.values())
    for combination, grid in product(list(values), suite.grids):
        conditions: dict[str, Any] = {
            **dict(zip(suite.axes, combination, strict=True)),
            "device": device,
        }
        for variant in grid.variants():
            for shape in suite.shapes:
                yield Case(variant, shape, **conditions)
            for network, shape in product(suite.networks, suite.images):
                yield Case(variant, shape, network, **conditions)


def matches(name: str, globs: str) -> bool:
    return any(fnmatchcase(name, glob.strip()) for glob in globs.split(","))


def _unsupported(case: Case) -> str | None:
    extent, shape = case.variant.extent, case.shape
    if case.network is not None:
        return None  # an extent larger than a stage's map gathers the whole map, as in the paper
    if isinstance(extent, int) and extent > min(shape.height, shape.width):
        return f"extent {extent} is larger than the {shape.height}×{shape.width} map"
    return None


def _unmatched(suite: Suite, modules: str) -> str | None:
    """The complaint of a glob that matches no module of the suite; None if each does."""
    names = {name for grid in suite.grids for name in grid.modules} | {suite.baseline}
    for glob in (part.strip() for part in modules.split(",")):
        if not any(matches(name, glob) for name in names) and not suite.published:
            return f"--modules {glob!r} matches no module of {suite.name}{nearest(glob, names)}"
    return None


def _nothing_left(suite: Suite, modules: str | None, where: str | None) -> str:
    conditions = " and ".join(
        text
        for text in (modules and f"--modules {modules!r}", where and f"--where {where!r}")
        if text
    )
    return f"{suite.source}: {conditions or 'leave_out'} leaves no case to measure"
