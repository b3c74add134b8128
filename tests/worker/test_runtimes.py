"""ONNX Runtime and OpenVINO: what they compute, what they cannot, and where their threads run."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import onnx
import pytest
import torch
from torch import Tensor, nn

from attn_bench.catalog.registry import Entry, Registry, builtin
from attn_bench.model import protocol
from attn_bench.model.axes import EXECUTION, Execution
from attn_bench.model.case import Case, Extent, Network, Shape, Variant
from attn_bench.worker.bench import Bench
from attn_bench.worker.devices.base import open_device
from attn_bench.worker.executions import base
from attn_bench.worker.exports import Exports

RUNTIMES = [name for name in get_args(Execution) if EXECUTION[name].exported]
SE = Case(Variant("se"), Shape(2, 16, 8, 8))
each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


class Decides(nn.Module):
    """Its branch depends on the values of the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x * 3


class Changes(nn.Module):
    """Computes something else where it is exported."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if torch.compiler.is_exporting() else x * 3


def bench(*classes: type[nn.Module], exports: str | None = None) -> Bench:
    known = Registry()
    for entry in (*builtin(), *(Entry(name=c.__name__.lower(), target=c) for c in classes)):
        known.add(entry)
    return Bench(open_device("cpu"), known, exports=exports)


def inspect(case: Case, *classes: type[nn.Module]) -> protocol.Reply:
    return bench(*classes).answer(protocol.Inspect(case))


@each_runtime
def test_the_notes_say_how_exact_it_is_and_what_it_runs(runtime: Execution) -> None:
    """A case has its deviation from eager, the nodes that run, and whose metrics it shows."""
    reply = inspect(replace(SE, execution=runtime))
    assert isinstance(reply, protocol.Inspected), reply
    notes = " / ".join(reply.facts.notes)
    assert f"{runtime} differs from eager by at most" in notes
    assert "runs " in notes
    assert " nodes (" in notes
    eager = inspect(SE)
    assert isinstance(eager, protocol.Inspected)
    assert reply.facts.peak_memory_bytes == eager.facts.peak_memory_bytes
    assert reply.facts.macs == eager.facts.macs


@each_runtime
def test_the_input_is_read_where_it_lies(runtime: Execution) -> None:
    """After the input has moved, and has other values, the result is that of the new ones."""
    built = bench().build(replace(SE, execution=runtime))
    with built.mode():
        for _ in range(2):
            x = torch.randn_like(built.x)
            torch.testing.assert_close(built.forward(x), built.module(x))
            x.mul_(2)
            torch.testing.assert_close(built.forward(x), built.module(x))


@each_runtime
def test_a_network_is_executed_whole(runtime: Execution) -> None:
    """A backbone with a module in its blocks is exported, and gives what eager gives."""
    network = Network("resnet18", "block")
    case = Case(Variant("se"), Shape(1, 3, 32, 32), network=network, execution=runtime)
    assert isinstance(inspect(case), protocol.Inspected)


@each_runtime
@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"mode": "training"}, "executes inference only"),
        ({"dtype": "bfloat16"}, "takes contiguous float32 here"),
        ({"memory_format": "channels_last"}, "takes contiguous float32 here"),
    ],
)
def test_what_a_runtime_cannot(runtime: Execution, condition: dict[str, str], said: str) -> None:
    """Training, other types and other layouts are unsupported, with the reason."""
    reply = inspect(replace(SE, execution=runtime, **condition))  # type: ignore[arg-type]
    assert reply == protocol.Failure("unsupported", f"{runtime} {said}")


@each_runtime
def test_a_module_that_cannot_be_exported_fails_alone(runtime: Execution) -> None:
    """The reason is the exporter's, in one line, and the next case is executed."""
    worker = bench(Decides)
    case = replace(SE, variant=Variant("decides"), execution=runtime)
    reply = worker.answer(protocol.Inspect(case))
    assert isinstance(reply, protocol.Failure)
    assert reply.status == "failed"
    assert reply.error.startswith(f"{runtime}: ")
    assert "data-dependent" in reply.error
    assert "(test_runtimes.py:" in reply.error
    assert "\n" not in reply.error
    next_one = worker.answer(protocol.Inspect(replace(SE, execution=runtime)))
    assert isinstance(next_one, protocol.Inspected)


@each_runtime
def test_another_result_than_eagers_is_a_failed_case(runtime: Execution) -> None:
    """A module that computes something else where it is exported has no time."""
    reply = inspect(replace(SE, variant=Variant("changes"), execution=runtime), Changes)
    assert isinstance(reply, protocol.Failure)
    assert reply.error.startswith(f"{runtime} against eager: differs by 0.3")


@each_runtime
def test_a_missing_package_has_its_command(
    runtime: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra a case is unsupported, and the reason has the command that installs it."""
    found = base.metadata.version

    def version(name: str) -> str:
        if name in EXECUTION[runtime].needs:
            raise base.metadata.PackageNotFoundError
        return found(name)

    monkeypatch.setattr(base.metadata, "version", version)
    reply = inspect(replace(SE, execution=runtime))
    assert isinstance(reply, protocol.Failure)
    assert reply.status == "unsupported"
    assert reply.error.endswith(f"pip install 'attn-bench[{runtime}]'")


def test_a_cuda_graph_needs_a_gpu() -> None:
    """On a CPU the case is unsupported."""
    reply = inspect(replace(SE, execution="cuda_graph"))
    assert reply == protocol.Failure(
        "unsupported", "a CUDA graph needs a GPU of NVIDIA (--device cuda)"
    )


def test_a_module_is_exported_once_for_all_workers_and_runtimes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second worker with the same folder, and another runtime, take the file that is there."""
    for runtime in RUNTIMES[:1]:
        bench(exports=str(tmp_path)).build(replace(SE, execution=runtime))
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(torch.onnx, "export", None)
    for runtime in RUNTIMES:
        bench(exports=str(tmp_path)).build(replace(SE, execution=runtime))
    assert list(tmp_path.iterdir()) == [file]


def tasks() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


@each_runtime
def test_threads_of_a_runtime_are_not_bound_to_our_core(runtime: Execution) -> None:
    """Where OpenMP has bound this thread to a core, new threads may use all, and it stays bound."""
    torch.ones(2**22).add(1)  # starts PyTorch's own threads
    mine, before = os.sched_getaffinity(0), tasks()
    one = {min(mine)}
    os.sched_setaffinity(0, one)
    try:
        case = replace(SE, execution=runtime)
        used = bench()
        for request in (protocol.Prepare(case), protocol.RunBlock(case, 3)):
            assert not isinstance(used.answer(request), protocol.Failure)
        assert os.sched_getaffinity(0) == one
        for task in tasks() - before:  # OpenVINO binds some to a core that it chooses
            assert os.sched_getaffinity(task) != one
    finally:
        os.sched_setaffinity(0, mine)


# The gate is computed on the small map, and enlarged by the nearest value: nothing is larger than
# the formula needs.
SMALLEST: dict[tuple[str, Extent], list[str]] = {
    ("ge_theta_minus", "global"): ["ReduceMean", "Sigmoid", "Mul"],
    ("ge_theta_minus", 4): ["AveragePool", "Sigmoid", "Resize", "Mul"],
    ("ge_theta", "global"): ["Conv", "Sigmoid", "Mul"],
    ("ge_theta", 4): ["Conv", "Relu", "Conv", "Sigmoid", "Resize", "Mul"],
    ("ge_theta_plus", "global"): ["Conv", "Conv", "Relu", "Conv", "Relu", "Sigmoid", "Mul"],
    ("ge_theta_plus", 4): [*(["Conv", "Relu"] * 3), "Conv", "Sigmoid", "Resize", "Mul"],
}


@pytest.mark.parametrize(("module", "extent"), SMALLEST)
def test_the_graph_of_gather_excite_is_the_smallest(module: str, extent: Extent) -> None:
    """Its exported graph has the operators of its formula, with BatchNorm folded, and no others."""
    case = Case(Variant(module, extent), Shape(2, 16, 16, 16))
    built, exports = bench().build(case), Exports()
    with built.mode():
        graph = onnx.load(exports.onnx(built.module, built.x, case)).graph
    found = Counter(node.op_type for node in graph.node)
    assert found == Counter(SMALLEST[module, extent])
