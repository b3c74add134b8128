"""Inspects a case, without its latency: its behaviour and exact metrics."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from torch import Tensor

from attn_bench.model.axes import EXECUTION
from attn_bench.model.errors import in_one_line
from attn_bench.model.run import WARNED, Facts
from attn_bench.worker import behaviour
from attn_bench.worker.attempt import attempt
from attn_bench.worker.build import Built
from attn_bench.worker.called import CalledCase
from attn_bench.worker.devices.base import Device
from attn_bench.worker.lookup import load_files
from attn_bench.worker.specimen import must_agree

METRICS_PACKAGE = "attn_bench.worker.metrics"
Measure = Callable[[CalledCase], Mapping[str, Any]]


@cache
def all_measures() -> Mapping[str, Measure]:
    """The function `measure` of each file in `metrics/`, by the name of the file."""
    return {file.__name__.rpartition(".")[2]: file.measure for file in load_files(METRICS_PACKAGE)}


def inspect_case(built: Built, device: Device) -> Facts:
    """The facts of a case. Raises CaseFailed if the module under test misbehaves."""
    facts: dict[str, Any] = {}
    notes: list[str] = []
    measures = all_measures().values()  # before, since their libraries warn when they are imported
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        called = CalledCase(built, device, check_behaviour(built, device))
        for measure in measures:
            found = dict(measure(called))
            notes += found.pop("notes", ())
            facts |= found
        notes += compare_with_eager(built, called.result)
        notes += built.execution.describe(built.forward)
    notes = [f"{WARNED}{text}" for text in _texts(warned)] + notes
    return Facts(**facts, notes=tuple(notes))


def check_behaviour(built: Built, device: Device) -> Tensor:
    """Check the behaviour of a case, and return the result of its forward pass."""
    x, of_network = built.x, built.case.network is not None
    before = x.detach().clone()
    with built.mode():
        result = attempt("forward", lambda: built.forward(x))
        attempt("forward", device.drain)
        result = behaviour.check_result(result, x, "forward", of_network=of_network)
        behaviour.check_input(x, before, "forward")
        if built.case.mode == "training":
            first = "the first layer" if of_network else "the input"
            behaviour.check_gradients(attempt("backward", built.call), first)
    return result


def compare_with_eager(built: Built, result: Tensor) -> list[str]:
    """The largest deviation of an exported module from the eager one, as a note.

    Raises CaseFailed if it is more than rounding (`CLOSE`).
    """
    if not EXECUTION[built.case.execution].exported:
        return []
    with built.mode():
        eager = attempt("eager", lambda: built.module(built.x))
    must_agree(f"{built.case.execution} against eager", result, eager)
    apart = float((result - eager).abs().max() / eager.abs().max())
    return [
        f"{built.case.execution} differs from eager by at most {apart:.0e} of the largest value",
        "the exact metrics are those of the eager module",
    ]


def _texts(warned: Iterable[warnings.WarningMessage]) -> list[str]:
    """Each warning once, in one line."""
    return sorted({in_one_line(w.message) for w in warned if isinstance(w.message, Warning)})
