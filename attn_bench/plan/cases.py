"""Suite -> cases -> the order in which they are measured. Pure: same input, same plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import groupby, product, zip_longest
from math import inf, sqrt
from random import Random
from typing import Any

from attn_bench.model.axes import AXES, DeviceName
from attn_bench.model.case import PLAIN, Case, Network, Variant
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.request import RunRequest
from attn_bench.model.row import CASE_COLUMNS
from attn_bench.model.run import Plan, Settings
from attn_bench.model.suite import Suite
from attn_bench.model.where import Condition
from attn_bench.papers.reproduction import published_cases

SECONDS_PER_CASE = 2.0
LEAST_BUDGET_S = 3.0
PRECISION = 0.02
QUICK_FACTOR = 0.2
QUICK_PRECISION = 0.05
SESSIONS = 5
ALIKE = 1.1  # latencies within this factor may be one and the same, measured twice
MOST_CALLS = 10_000


def make_plan(
    suite: Suite, device: DeviceName, *, modules: str | None = None, where: str | None = None
) -> Plan:
    """The cases of `suite` on `device`, each with its baseline.

    modules: globs on module names, with commas between; where: a condition on a case's columns.
    Neither removes the baselines of what remains. Raises RequestError where nothing remains.
    """
    rules = [
        Condition(rule, CASE_COLUMNS, f"{suite.source}: leave_out") for rule in suite.leave_out
    ]
    selected = selection(modules, where)
    chosen = []
    for case in _all_cases(suite, device):
        columns = case.columns()
        if any(rule(columns) for rule in rules):
            continue
        if selected(columns):
            chosen.append(case)
    if not chosen:
        raise RequestError(_nothing_left(suite, modules, where))
    variants = {variant.label: variant for grid in suite.grids for variant in grid.variants()}
    baseline = variants.get(suite.baseline, Variant(suite.baseline))
    baselines = {case.id: _baseline_case(case, baseline) for case in chosen}
    # By id: a case named twice is measured once. The sort is stable: the suite's order holds within
    # a shape or a backbone, and its baselines stand last.
    cases = {case.id: case for case in [*chosen, *baselines.values()]}
    at = {group: index for index, group in enumerate(dict.fromkeys(map(_where, chosen)))}
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


def selection(modules: str | None, where: str | None) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a case, by its columns, is one of those asked for."""
    wanted = Condition(where, CASE_COLUMNS) if where else None

    def selected(columns: Mapping[str, Any]) -> bool:
        if modules and not matches(columns["module"], modules):
            return False
        return wanted is None or wanted(columns)

    return selected


def settle(suite: Suite, plan: Plan, request: RunRequest) -> Settings:
    """How to measure `plan`: what was asked for, else what the suite says, else the defaults."""
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
    )


def round_order(cases: Sequence[Case], rng: Random) -> list[Case]:
    """One round: every case once, in random order, but cases of one input next to each other, and
    of these the two versions of a case.

    What is compared is compared at the same shape, so the two should lie close in time; and only
    one group's tensors need to be warm.
    """
    groups = [list(group) for _, group in groupby(sorted(cases, key=_group), key=_group)]
    rng.shuffle(groups)
    order = []
    for group in groups:
        versions: dict[str, list[Case]] = {}
        for case in group:
            versions.setdefault(case.current.id, []).append(case)
        pairs = list(versions.values())
        rng.shuffle(pairs)
        for pair in pairs:
            rng.shuffle(pair)
            order += pair
    return order


def calls_in_a_block(seconds_a_call: Mapping[str, float], block_s: float) -> dict[str, int]:
    """How many calls of each case make a block of about `block_s`.

    Cases of nearly the same latency have the same number: a block of more calls is disturbed more
    often and less each time, and its median is another figure. So the latencies are cut into groups
    at their gaps, and a group shares its number.

    >>> calls_in_a_block({"a": 1.0, "b": 1.04, "c": 0.2, "d": 9.0}, block_s=4.0)
    {'c': 20, 'a': 4, 'b': 4, 'd': 1}
    """
    calls: dict[str, int] = {}
    group: list[str] = []
    ordered = sorted(seconds_a_call, key=lambda case_id: seconds_a_call[case_id])
    for case_id, following in zip_longest(ordered, ordered[1:]):
        group.append(case_id)
        here, first = seconds_a_call[case_id], seconds_a_call[group[0]]
        then = seconds_a_call[following] if following else inf
        if then > ALIKE * here or then > 2 * first:
            shared = max(1, min(MOST_CALLS, round(block_s / sqrt(first * here))))
            calls |= dict.fromkeys(group, shared)
            group = []
    return calls


def _baseline_case(case: Case, baseline: Variant) -> Case:
    """The baseline of `case`: of a network, the backbone as it is."""
    if case.network is None:
        return replace(case, variant=baseline, execution="eager")
    network = Network(case.network.backbone)
    return replace(case, variant=Variant(PLAIN), execution="eager", network=network)


def _where(case: Case) -> tuple[str | None, str]:
    """What a table is about: a shape, or a backbone at the size of its images."""
    return case.network.backbone if case.network else None, str(case.shape)


def _group(case: Case) -> tuple[str, ...]:
    """Cases that are measured next to each other."""
    backbone = case.network.backbone if case.network else ""
    shared = (getattr(case, axis.name) for axis in AXES if not axis.beside_name)
    return (backbone, str(case.shape), *shared)


def _all_cases(suite: Suite, device: DeviceName) -> Iterator[Case]:
    if suite.published:
        yield from published_cases(device)
    values = product(*suite.axes.values())
    for chosen, grid in product(list(values), suite.grids):
        conditions: dict[str, Any] = {
            **dict(zip(suite.axes, chosen, strict=True)),
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
        return None  # an extent beyond a stage's map gathers all of it, as in the paper
    if isinstance(extent, int) and extent > min(shape.height, shape.width):
        return f"extent {extent} is larger than the {shape.height}×{shape.width} map"
    return None


def _nothing_left(suite: Suite, modules: str | None, where: str | None) -> str:
    if modules:
        names = {name for grid in suite.grids for name in grid.modules}
        if not any(matches(name, modules) for name in names):
            return f"--modules {modules!r} matches no module of {suite.name}" + nearest(
                modules, names
            )
    asked = " and ".join(
        text
        for text in (modules and f"--modules {modules!r}", where and f"--where {where!r}")
        if text
    )
    return f"{suite.source}: {asked or 'leave_out'} leaves no case to measure"
