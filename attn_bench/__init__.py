"""attn-bench: which attention module, with which extent, at which stage, and what it costs.

The public names are imported on demand, so that `import attn_bench` stays instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from attn_bench._version import __version__

if TYPE_CHECKING:
    from attn_bench.api import Run as Run
    from attn_bench.api import load as load
    from attn_bench.api import run as run
    from attn_bench.api_recommend import Recommended as Recommended
    from attn_bench.api_recommend import recommend as recommend
    from attn_bench.catalog.registry import register as register
    from attn_bench.model.errors import AttnBenchError as AttnBenchError

__all__ = [
    "AttnBenchError",
    "Recommended",
    "Run",
    "__version__",
    "load",
    "recommend",
    "register",
    "run",
]

_HOME = {
    "AttnBenchError": "attn_bench.model.errors",
    "Recommended": "attn_bench.api_recommend",
    "Run": "attn_bench.api",
    "load": "attn_bench.api",
    "recommend": "attn_bench.api_recommend",
    "register": "attn_bench.catalog.registry",
    "run": "attn_bench.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
