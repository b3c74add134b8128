"""Every exact metric is measured by one file of worker/metrics/."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import pytest

from attn_bench.catalog.registry import builtin
from attn_bench.model.axes import Mode
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.metrics import EXACT
from attn_bench.model.run import Facts
from attn_bench.worker.attempt import CaseFailed
from attn_bench.worker.bench import Bench
from attn_bench.worker.build import Builder
from attn_bench.worker.called import CalledCase
from attn_bench.worker.devices.base import open_device
from attn_bench.worker.inspection import all_measures, check_behaviour
from attn_bench.worker.metrics import work

CPU = open_device("cpu")


def case(mode: Mode = "inference") -> Case:
    return Case(Variant("se"), Shape(2, 16, 4, 4), mode=mode)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_every_exact_metric_has_one_home(mode: Mode) -> None:
    """Each field of Exact is measured by exactly one file, and nothing else is but facts."""
    built = Builder(CPU, builtin()).build(case(mode))
    called = CalledCase(built, CPU, check_behaviour(built, CPU))
    measured = Counter(name for measure in all_measures().values() for name in measure(called))
    assert {name: measured[name] for name in EXACT} == dict.fromkeys(EXACT, 1)
    assert measured.keys() <= {item.name for item in fields(Facts)}


def test_what_cannot_be_counted_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where counting fails its metrics are empty, the note says why, and the others are there."""

    def count(*_: object) -> None:
        raise RuntimeError("cannot be traced")

    monkeypatch.setattr(work, "count_work", count)
    facts = Bench(CPU, builtin()).inspect(case())
    assert facts.macs is facts.activations is facts.elementwise_ops is None
    assert facts.params is not None
    assert facts.peak_memory_bytes is not None
    (note,) = facts.notes
    assert note.startswith("counting: RuntimeError: cannot be traced")


def test_a_failing_call_is_the_fault_of_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that fails while its memory is measured fails the case."""

    def fail(*_: object) -> int:
        raise MemoryError("too large")

    monkeypatch.setattr(CPU, "peak_memory_bytes", fail)
    with pytest.raises(CaseFailed, match="call: MemoryError: too large") as failed:
        Bench(CPU, builtin()).inspect(case())
    assert failed.value.status == "out_of_memory"
