"""Rows of a table, made up."""

from __future__ import annotations

from attn_bench.model.case import PLAIN
from attn_bench.model.row import Row
from attn_bench.papers.gains import published_place


def network(variant: str, ratio: float, *, half: float = 0.01, **columns: object) -> Row:
    """Of a variant in ResNet-50, in inference, that takes `ratio` times the plain one."""
    memory = columns.pop("memory", 12_000_000)
    backbone = str(columns.get("backbone", "resnet50"))
    cells = {
        "case_id": f"{variant}/{ratio}",
        "module": variant.partition("(")[0],
        "variant": variant,
        "backbone": backbone,
        "place": None if variant == PLAIN else published_place(variant, backbone),
        "batch": 1,
        "channels": 3,
        "height": 224,
        "width": 224,
        "dtype": "float32",
        "memory_format": "contiguous",
        "mode": "inference",
        "execution": "eager",
        "device": "cpu",
        "params": 25_557_032,
        "macs": 4_000_000_000,
        "peak_memory_bytes": memory,
        "latency_us": 1e5 * ratio,
        "latency_lo_us": 1e5 * (ratio - half),
        "latency_hi_us": 1e5 * (ratio + half),
        "ratio": ratio,
        "ratio_lo": ratio - half,
        "ratio_hi": ratio + half,
        "status": "ok",
    }
    return Row(**{**cells, **columns})  # type: ignore[arg-type]
