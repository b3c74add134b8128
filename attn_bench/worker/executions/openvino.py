"""OpenVINO on a CPU, for the lowest latency, with as many threads as PyTorch has.

It computes in float32: by default it would choose bfloat16 where the CPU has it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from attn_bench.model.case import Case
from attn_bench.worker.executions.base import Execution, Forward
from attn_bench.worker.exports import OUTPUTS, count_nodes

NO_WORK = ("Input", "Output", "Const")


class OpenVino(Execution):
    kept_maps: ClassVar[int] = 4  # at most, of SE, CBAM, ECA, GE and coordinate attention

    def problem(self, case: Case) -> str | None:
        return None if case.device == "cpu" else "openvino runs on a CPU here"

    def prepare(self, module: nn.Module, x: Tensor, case: Case) -> Forward:
        file = self.exports.onnx(module, x, case)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        core = _core()
        bound = _Bound(core.compile_model(core.read_model(file), "CPU", settings))
        bound(x)  # some of its threads start with the first call
        return bound

    def describe(self, forward: Forward) -> list[str]:
        assert isinstance(forward, _Bound)
        return [forward.describe()]


class _Bound:
    """A request whose input and output are tensors of PyTorch."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._place = 0
        self._result: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor | None:
        if x.data_ptr() != self._place:
            self._bind(x)
        self._request.infer()
        return self._result

    def _bind(self, x: Tensor) -> None:
        """Bind the input where it lies now, and a new output."""
        from openvino import Tensor as Bound

        self._result = OUTPUTS.get(self._compiled.output(0).shape, x)
        self._request.set_input_tensor(Bound(x.numpy(), shared_memory=True))
        self._request.set_output_tensor(Bound(self._result.numpy(), shared_memory=True))
        self._place = x.data_ptr()

    def describe(self) -> str:
        """The nodes of the graph that runs."""
        nodes = self._compiled.get_runtime_model().get_ops()
        types = (node.get_rt_info()["layerType"].astype(str) for node in nodes)
        return f"OpenVINO runs {count_nodes(name for name in types if name not in NO_WORK)}"


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()
