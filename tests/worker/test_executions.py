"""Executions and devices: one file each, found by its name, and a reason where one cannot."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

from attn_bench.catalog.registry import builtin
from attn_bench.model import machine, protocol
from attn_bench.model.axes import DEVICE, DEVICES, EXECUTION, DeviceFacts, Execution, ExecutionFacts
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.environment import fingerprint_of
from attn_bench.model.errors import RequestError
from attn_bench.worker import devices, executions
from attn_bench.worker.bench import Bench
from attn_bench.worker.devices import base as devices_base
from attn_bench.worker.devices.base import Device, open_device
from attn_bench.worker.executions import base as executions_base
from attn_bench.worker.executions.base import find_problem, open_execution
from attn_bench.worker.executions.compile import Compile
from attn_bench.worker.lookup import find_class

EXECUTIONS: tuple[Execution, ...] = get_args(Execution)
COMPILED = Case(Variant("se"), Shape(1, 16, 4, 4), execution="compile")


def files_in(package: object) -> set[str]:
    folder = Path(str(package.__file__)).parent  # type: ignore[attr-defined]
    return {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}


def test_every_execution_has_a_file_and_a_row() -> None:
    """The values of the axis, the rows of EXECUTION and the files are the same names.

    What follows a colon is an option.
    """
    assert set(EXECUTIONS) == set(EXECUTION)
    assert {name.partition(":")[0] for name in EXECUTIONS} == files_in(executions)


def test_every_device_has_a_file_and_a_row() -> None:
    """The values of the axis, the rows of DEVICE and the files are the same names."""
    assert set(DEVICES) == set(DEVICE) == files_in(devices)


@pytest.mark.parametrize("name", DEVICES)
def test_a_file_holds_the_device_of_its_name(name: str) -> None:
    """A device knows its own name, and the side of its matrices."""
    found = find_class(devices.__name__, name, Device)  # type: ignore[type-abstract]
    assert found.name == name
    assert found.matrix_side > 0


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_an_execution_computes_the_module(name: Execution, mode: str) -> None:
    """What an execution prepares gives the result of the module itself."""
    case = Case(Variant("se"), Shape(2, 16, 4, 4), execution=name, mode=mode)  # type: ignore[arg-type]
    execution = open_execution(name)
    if reason := find_problem(execution, case):
        pytest.skip(reason)
    module = builtin().get("se").build(16, (4, 4), None).train(mode == "training")
    x = torch.randn(2, 16, 4, 4, requires_grad=mode == "training")
    with torch.inference_mode(mode == "inference"):
        forward = execution.prepare(module, x, case)
        torch.testing.assert_close(forward(x), module(x))


def test_an_execution_that_cannot_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case that an execution cannot do is unsupported, with the execution's own reason."""
    monkeypatch.setattr(Compile, "problem", lambda self, case: f"cannot do {case.variant.label}")
    reply = Bench(open_device("cpu"), builtin()).answer(protocol.Inspect(COMPILED))
    assert reply == protocol.Failure("unsupported", "cannot do se")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case whose execution needs a package that is not installed is unsupported."""
    rows = {**EXECUTION, "compile": ExecutionFacts(needs=("no-such-runtime",))}
    monkeypatch.setattr(executions_base, "EXECUTION", rows)
    reply = Bench(open_device("cpu"), builtin()).answer(protocol.Inspect(COMPILED))
    assert reply == protocol.Failure(
        "unsupported",
        "compile needs the package no-such-runtime: pip install 'attn-bench[compile]'",
    )


def test_auto_takes_the_first_device_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` follows the order of DEVICE, and skips what the machine does not have."""
    cuda = find_class(devices.__name__, "cuda", Device)  # type: ignore[type-abstract]
    monkeypatch.setattr(cuda, "count", classmethod(lambda cls: 0))
    monkeypatch.setattr(devices_base, "AUTO_ORDER", ("cuda", "cpu"))
    assert open_device("auto").name == "cpu"
    with pytest.raises(RequestError, match="--device cuda: PyTorch finds no such device here"):
        open_device("cuda")


def test_a_device_that_nobody_knows_is_refused() -> None:
    """An unknown device is answered with the nearest known one."""
    with pytest.raises(RequestError, match=r"unknown device \(did you mean 'cuda'\?\)"):
        open_device("cuds")


def test_an_index_that_is_too_high_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that does not exist is answered with the last one that does."""
    cuda = find_class(devices.__name__, "cuda", Device)  # type: ignore[type-abstract]
    monkeypatch.setattr(cuda, "count", classmethod(lambda cls: 2))
    with pytest.raises(
        RequestError, match="--device cuda:2: the last that PyTorch finds is cuda:1"
    ):
        open_device("cuda:2")
    with pytest.raises(RequestError, match=r"--device cpu:0: unknown device"):
        open_device("cpu:0")


def test_every_answer_gives_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker releases its device's memory after a block, also after one that failed."""
    device, released = open_device("cpu"), []
    monkeypatch.setattr(device, "release", lambda: released.append("memory"))
    bench = Bench(device, builtin())
    case = Case(Variant("se"), Shape(1, 16, 4, 4))
    assert isinstance(bench.answer(protocol.RunBlock(case, 1)), protocol.Timed)
    wrong = Case(Variant("no such module"), Shape(1, 16, 4, 4))
    assert isinstance(bench.answer(protocol.RunBlock(wrong, 1)), protocol.Failure)
    assert len(released) == 2


def test_the_row_of_a_device_says_what_identifies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that the row names change the fingerprint of a machine, and no other facts do."""
    monkeypatch.setitem(DEVICE, "cpu", DeviceFacts(identity=("model",)))  # type: ignore[arg-type]
    here = machine.capture()
    fingerprints = [
        fingerprint_of(here, "cpu", {"model": model, "clock": clock})
        for model, clock in (("a", 1), ("a", 2), ("b", 1))
    ]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
