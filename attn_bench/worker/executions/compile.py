"""Compiled: `torch.compile` with static shapes; its option is the mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attn_bench.model.case import Case
from attn_bench.worker.executions.base import Execution, Forward


class Compile(Execution):
    def prepare(self, module: nn.Module, x: Tensor, case: Case) -> Forward:
        # One process compiles many cases. Without this, one of them may silently run in eager mode.
        config: Any = torch._dynamo.config
        config.recompile_limit = 10_000
        config.fail_on_recompile_limit_hit = True
        compiled: Forward = torch.compile(module, dynamic=False, mode=self.option or None)
        return compiled
