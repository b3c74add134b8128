"""The order of measurement, and the number of calls in a block. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, zip_longest
from math import inf, sqrt
from random import Random

from attn_bench.model.axes import AXIS_NAMES
from attn_bench.model.case import Case

ALIKE = 1.1  # latencies within this factor may be equal: the difference may be noise
MOST_CALLS = 10_000


def round_order(cases: Sequence[Case], baseline_of: Mapping[str, str], rng: Random) -> list[Case]:
    """One round: every case, in random order within these limits.

    Cases with the same input are neighbours, since they are compared and should lie close in time.
    It also keeps only one group's tensors warm. The two versions of a case are neighbours, too.

    The baseline of n cases comes about √n times, because its error is in all of their ratios. That
    is the best use of the time: C. W. Dunnett, A multiple comparison procedure for comparing
    several treatments with a control, JASA 50, 1955.
    """
    uses = Counter(baseline_of.get(case.id, case.id) for case in cases)
    groups = [list(group) for _, group in groupby(sorted(cases, key=_group), key=_group)]
    rng.shuffle(groups)
    order = []
    for group in groups:
        measured: list[Case] = []
        versions: dict[str, list[Case]] = {}
        for case in group:
            versions.setdefault(case.current.id, []).append(case)
        pairs = list(versions.values())
        rng.shuffle(pairs)
        for pair in pairs:
            rng.shuffle(pair)
            measured += pair
        for case in group:
            for _ in range(1, round(sqrt(max(1, uses[case.id] - 1)))):
                measured.insert(rng.randrange(len(measured) + 1), case)
        order += measured
    return order


def calls_in_a_block(call_s: Mapping[str, float], block_s: float) -> dict[str, int]:
    """The number of calls of each case that make a block of about `block_s`.

    Cases of nearly the same latency get the same number. A block of more calls is disturbed more
    often, but less each time, so its median is not comparable. The latencies are split into groups
    at their gaps, and a group shares one number.

    >>> calls_in_a_block({"a": 1.0, "b": 1.04, "c": 0.2, "d": 9.0}, block_s=4.0)
    {'c': 20, 'a': 4, 'b': 4, 'd': 1}
    """
    calls: dict[str, int] = {}
    group: list[str] = []
    ordered = sorted(call_s, key=lambda case_id: call_s[case_id])
    for case_id, following in zip_longest(ordered, ordered[1:]):
        group.append(case_id)
        here, first = call_s[case_id], call_s[group[0]]
        then = call_s[following] if following else inf
        if then > ALIKE * here or then > 2 * first:
            shared = max(1, min(MOST_CALLS, round(block_s / sqrt(first * here))))
            calls |= dict.fromkeys(group, shared)
            group = []
    return calls


def _group(case: Case) -> tuple[str, ...]:
    """The key of the cases that are measured next to each other."""
    backbone = case.network.backbone if case.network else ""
    shared = (getattr(case, name) for name in AXIS_NAMES)
    return (backbone, str(case.shape), *shared)
