"""Eager: PyTorch runs the module operator by operator."""

from __future__ import annotations

from torch import Tensor, nn

from attn_bench.model.case import Case
from attn_bench.worker.executions.base import Execution, Forward


class Eager(Execution):
    def prepare(self, module: nn.Module, x: Tensor, case: Case) -> Forward:
        return module
