"""ONNX Runtime, with its default optimisation of the graph.

Input and output are bound, so that a call copies nothing. All sessions of a process share one pool
of threads, as many as PyTorch has, and one arena of memory. Each would otherwise have its own: tens
of cases would spin at the same time, and take gigabytes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attn_bench.model.case import Case
from attn_bench.worker.executions.base import Execution, Forward
from attn_bench.worker.exports import OUTPUTS, count_nodes

PROVIDER = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
QUIET = 3  # errors only
FLOAT = 1  # TensorProto.FLOAT


class OnnxRuntime(Execution):
    def problem(self, case: Case) -> str | None:
        import onnxruntime

        if PROVIDER[case.device] not in onnxruntime.get_available_providers():
            return "the installed ONNX Runtime has no CUDA provider: pip install onnxruntime-gpu"
        return None

    def prepare(self, module: nn.Module, x: Tensor, case: Case) -> Forward:
        return _Bound(self.exports.onnx(module, x, case), case.device)

    def describe(self, forward: Forward) -> list[str]:
        assert isinstance(forward, _Bound)
        return [forward.describe()]


class _Bound:
    """A session whose input and output are tensors of PyTorch."""

    def __init__(self, file: Path, device: str) -> None:
        self._file = file
        self._device = device
        self._session = _open(file, device)
        self._binding = self._session.io_binding()
        (self._input,), (self._output,) = self._session.get_inputs(), self._session.get_outputs()
        self._place = 0
        self._result: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor | None:
        if x.data_ptr() != self._place:
            self._bind(x)
        self._session.run_with_iobinding(self._binding)
        return self._result

    def _bind(self, x: Tensor) -> None:
        """Bind the input where it lies now, and a new output."""
        self._result = OUTPUTS.get(self._output.shape, x)
        for bind, name, tensor in (
            (self._binding.bind_input, self._input.name, x),
            (self._binding.bind_output, self._output.name, self._result),
        ):
            bind(name, self._device, 0, FLOAT, tuple(tensor.shape), tensor.data_ptr())
        self._place = x.data_ptr()

    def describe(self) -> str:
        """The nodes of the exported graph, and of the one that runs."""
        import onnx

        exported = onnx.load(self._file, load_external_data=False).graph.node
        optimised = self._file.with_suffix(".optimised.onnx")
        _open(self._file, self._device, optimised)
        runs = onnx.load(optimised, load_external_data=False).graph.node
        optimised.unlink()
        return (
            f"ONNX Runtime runs {count_nodes(node.op_type for node in runs)} for an exported graph "
            f"of {count_nodes(node.op_type for node in exported)}"
        )


def _open(file: Path, device: str, optimised: Path | None = None) -> Any:
    """A session. optimised: also write the graph that it runs there."""
    import onnxruntime

    _share(torch.get_num_threads())
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = QUIET
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    settings = {}
    if device == "cuda":
        settings["user_compute_stream"] = str(torch.cuda.current_stream().cuda_stream)
    return onnxruntime.InferenceSession(file, options, providers=[(PROVIDER[device], settings)])


@cache
def _share(threads: int) -> None:
    """Make the threads and the arena that all sessions of this process share."""
    import onnxruntime
    from onnxruntime.capi import _pybind_state

    _pybind_state.set_global_thread_pool_sizes(threads, 1)
    arena = onnxruntime.OrtMemoryInfo(
        "Cpu",
        onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        0,
        onnxruntime.OrtMemType.DEFAULT,
    )
    onnxruntime.create_and_register_allocator(arena, None)
