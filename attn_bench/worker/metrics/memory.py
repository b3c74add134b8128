"""Measures the peak memory of a call.

PyTorch does not see what an outside runtime allocates: the figure is then the eager module's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from attn_bench.model.axes import EXECUTION
from attn_bench.worker.attempt import attempt
from attn_bench.worker.called import CalledCase


def measure(called: CalledCase) -> Mapping[str, Any]:
    """The peak memory beyond input and parameters; the device measures it."""
    built, device = called.built, called.device
    is_seen = not EXECUTION[built.case.execution].exported
    call = built.call if is_seen else partial(built.module, built.x)
    with built.mode():
        return {"peak_memory_bytes": attempt("call", lambda: device.peak_memory_bytes(call))}
