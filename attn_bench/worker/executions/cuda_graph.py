"""A CUDA graph: the kernels of a forward pass, recorded once and launched together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attn_bench.model.case import Case
from attn_bench.worker.executions.base import Execution, Forward

WARM_UP_CALLS = 3  # on a side stream, as PyTorch's documentation asks for


class CudaGraph(Execution):
    def problem(self, case: Case) -> str | None:
        if case.device != "cuda":
            return "a CUDA graph needs a GPU of NVIDIA (--device cuda)"
        return "a CUDA graph records inference only" if case.mode == "training" else None

    def prepare(self, module: nn.Module, x: Tensor, case: Case) -> Forward:
        return _Recorded(module)


class _Recorded:
    """A graph for each place of the input, because a graph has fixed addresses."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        if (place := x.data_ptr()) not in self._graphs:
            self._graphs[place] = self._record(x)
        graph, result = self._graphs[place]
        graph.replay()
        return result

    def _record(self, x: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_CALLS):
                self._module(x)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result: Tensor = self._module(x)
        return graph, result
