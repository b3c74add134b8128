"""attn-bench: which attention module, with which extent, at which stage, and what it costs.

The public names are imported on demand, so that `import attn_bench` stays instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attn_bench.registry import register as register

__version__ = "0.1.0"
__all__ = ["__version__", "register"]

_HOME = {"register": "attn_bench.registry"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
