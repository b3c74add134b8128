"""Measures the peak memory of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attn_bench.worker.attempt import attempt
from attn_bench.worker.called import CalledCase


def measure(called: CalledCase) -> Mapping[str, Any]:
    """The peak memory beyond input and parameters; the device measures it."""
    built, device = called.built, called.device
    with built.mode():
        return {"peak_memory_bytes": attempt("call", lambda: device.peak_memory_bytes(built.call))}
