"""Finds the hosts of a fleet that differ from others of their kind. Pure.

Hosts of one kind have the same device. Their ratios of one case agree but for the errors. A host
whose ratios lie far from the others', or whose intervals are many times as wide, is sick: another
program runs there, its memory is slow, its clock is held down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log1p
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attn_bench.analysis.fleet import Costs

FAR = 0.05  # of a ratio; a smaller deviation has little effect on a choice
FAR_SCALES = 3.0  # of the deviations of the other hosts of the kind
WIDE = 3.0  # times the width of the intervals of the other hosts
LEAST_CASES = 5
TO_SD = 1.4826  # the standard deviation of normal values over the median of their absolute values

Floats = NDArray[np.float64]
Sign = Literal["ratios", "noise"]


@dataclass(frozen=True, slots=True)
class Sick:
    """A host that differs from the others of its kind, or two of which either may be sick.

    hosts: by their names; two if the kind has no third host.
    sign: what differs.
    factor: the typical factor between its ratios and the others'; of noise, how many times as wide
        its intervals are.
    cases: the cases that were compared.
    """

    kind: str
    hosts: tuple[str, ...]
    sign: Sign
    factor: float
    cases: int


def find_sick(hosts: Mapping[str, tuple[str, Costs]]) -> tuple[Sick, ...]:
    """The sick hosts of all kinds.

    hosts: name -> its kind and its costs.
    """
    kinds: dict[str, list[str]] = {}
    for name, (kind, _) in hosts.items():
        kinds.setdefault(kind, []).append(name)
    return tuple(
        sick
        for kind, names in kinds.items()
        if len(names) > 1
        for sick in _judge(kind, names, [hosts[name][1] for name in names])
    )


def _judge(kind: str, names: Sequence[str], costs: Sequence[Costs]) -> list[Sick]:
    """Judge the hosts of one kind by the cases that all of them know."""
    cases = [
        (subject, module)
        for subject, modules in costs[0].items()
        for module in modules
        if all(module in other.get(subject, {}) for other in costs)
    ]
    if len(cases) < LEAST_CASES:
        return []
    figures = [[each[subject][module].ratio for subject, module in cases] for each in costs]
    logs = np.array([[figure.log for figure in of_host] for of_host in figures])
    errors = np.array([[figure.se for figure in of_host] for of_host in figures])
    if len(names) == 2:
        return _judge_two(kind, names, logs, errors)
    found = []
    for at, name in enumerate(names):
        others = np.delete(logs, at, axis=0)
        far = float(np.median(np.abs(logs[at] - np.median(others, axis=0))))
        wide = _times_as_wide(errors[at], np.delete(errors, at, axis=0))
        if _is_far(far, TO_SD * float(np.median(_deviations(others)))):
            found.append(Sick(kind, (name,), "ratios", exp(far), len(cases)))
        if wide > WIDE:
            found.append(Sick(kind, (name,), "noise", wide, len(cases)))
    return found


def _judge_two(kind: str, names: Sequence[str], logs: Floats, errors: Floats) -> list[Sick]:
    """Of two hosts nobody knows which is sick. Their intervals are the scale of the deviation."""
    found = []
    far = float(np.median(np.abs(logs[0] - logs[1])))
    wide = _times_as_wide(errors[0], errors[1:])
    if _is_far(far, float(np.median(np.hypot(errors[0], errors[1])))):
        found.append(Sick(kind, tuple(names), "ratios", exp(far), logs.shape[1]))
    if (wide := max(wide, 1 / wide)) > WIDE:
        found.append(Sick(kind, tuple(names), "noise", wide, logs.shape[1]))
    return found


def _is_far(far: float, scale: float) -> bool:
    """Whether a median of absolute deviations is large, and far beyond what is usual."""
    return far > log1p(FAR) and TO_SD * far > FAR_SCALES * scale


def _deviations(logs: Floats) -> Floats:
    """How far each host is from the median of the others, by case."""
    found: Floats = np.abs(
        [row - np.median(np.delete(logs, at, axis=0), axis=0) for at, row in enumerate(logs)]
    )
    return found


def _times_as_wide(errors: Floats, others: Floats) -> float:
    """The median over the cases of the error over the median of the others' errors."""
    usual = np.median(others, axis=0)
    known = (errors > 0) & (usual > 0)
    if not known.any():
        return 1.0
    return exp(float(np.median(np.log(errors[known] / usual[known]))))
