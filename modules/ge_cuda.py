"""Gather-Excite's kernels for NVIDIA GPUs: which ones to start for a call, on what, in which sizes.

THEY HAVE NEVER RUN ON A GPU. Triton's interpreter compared them with a float64 oracle, and they
compile for sm_80 and sm_90. Their speed is derived below and was not measured:
`benchmarks/ge_cuda.py` measures it. The kernels themselves are in `ge_triton`.

`excite(x, logits, extent)` is x ⊙ interp(σ(logits)), as in `ge_cpu`. Without logits, the window
means of x take their place. Sums are in float32 and in a fixed order, so every run gives the same
bits.

A lane is one plane, and a program computes several lanes: planes in contiguous maps, channels in
channels_last, so that neighbouring threads read neighbouring bytes.
  global    one launch. The map stays in registers between its sum and its product. The same program
            reads a map that does not fit twice, the second time from the L2 cache.
  pooled    one launch. A program computes a band of gates. It adds the rows of the windows, then
            the columns; what two windows share is added once. Then it multiplies the elements that
            take these gates, which are still in the L1 or L2 cache. Bands share e−1 rows of x.
  backward  as forward for the global extent and for given logits. A pooled mean needs the slopes of
            neighbouring bands. So a first launch computes gates and slopes, and a second one the
            gradient of x. The second one reads dy again: 4 units of traffic instead of 3.
Sizes and extents are compiled in: a new one costs a compilation, as with `torch.compile`.
"""

from __future__ import annotations

import functools
import os
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from . import ge_ops, ge_triton

# Two versions of this file may be loaded side by side: each needs separate operators.
NAMESPACE = __name__.replace(".", "_")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
WIDEST = 4096  # columns: a row of windows is one tile
TILE = 4096  # elements of a tile, where they can be chosen
ON_CHIP = 2**14  # elements of a map, times lanes, that stay in registers: 16 a thread, twice


def suits(x: Tensor) -> bool:
    """Whether the kernels support `x`: offsets within a sample are 32 bits, across samples 64."""
    if x.device.type != DEVICE or x.dtype not in DTYPES or x.dim() != 4 or not is_available():
        return False
    return x.shape[3] <= WIDEST and x.shape[1] * x.shape[2] * x.shape[3] < 2**31


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # once for each compiled graph
def is_available() -> bool:
    """Whether Triton interprets, or every GPU has bfloat16: compute capability 8.0 and later."""
    if DEVICE == "cpu":
        return True
    devices = range(torch.cuda.device_count())
    return all(torch.cuda.get_device_capability(i) >= (8, 0) for i in devices)


def excite(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
    """N×C×H×W, and N×C×h×w or None, to N×C×H×W in the layout of x; extent 0 is global."""
    y: Tensor = _excite(x, logits, extent)
    return y


def _run(
    x: Tensor, gradient: Tensor | None, logits: Tensor | None, extent: int
) -> tuple[Tensor, Tensor]:
    """As `ge_ops.Run`."""
    layout = ge_ops.layout_of(x)
    extent = ge_ops.clip_extent(x, extent, logits)
    x = x.contiguous(memory_format=layout)
    out = torch.empty_like(x, memory_format=layout)
    slopes = x.new_empty(0)
    if gradient is not None:
        gradient = gradient.contiguous(memory_format=layout)
    if logits is not None:
        logits = logits.contiguous(memory_format=layout)
        slopes = slopes if gradient is None else torch.empty_like(logits, memory_format=layout)
    if x.numel():
        launches = plan_launches(x, gradient, logits, out, slopes, extent)
        with torch.cuda.device_of(x):
            for launch in launches:
                launch.kernel[(launch.programs,)](
                    *launch.arguments, **launch.sizes, num_warps=launch.warps
                )
    return out, slopes


_excite = ge_ops.define_excite(NAMESPACE, DEVICE, _run)


# --- launches --------------------------------------------------------------------------------


class Launch(NamedTuple):
    """One start of a kernel."""

    kernel: Any  # what triton.jit makes of a function
    programs: int
    arguments: tuple[Tensor | int | None, ...]
    sizes: dict[str, int]  # compiled in
    warps: int


def plan_launches(
    x: Tensor, dy: Tensor | None, logits: Tensor | None, out: Tensor, slopes: Tensor, extent: int
) -> list[Launch]:
    """The launches of one call, on tensors of one layout; they write to `out` and `slopes`."""
    if extent == max(x.shape[2:]):
        return [_plan_global(x, dy, logits, out, slopes)]
    return _plan_pooled(x, dy, logits, out, slopes, extent)


def _modes(x: Tensor, dy: Tensor | None, logits: Tensor | None) -> dict[str, int]:
    is_last = ge_ops.is_channels_last(x)
    return {
        "LAST": int(is_last),
        "GIVEN": int(logits is not None),
        "BACKWARD": int(dy is not None),
    }


def _neighbours(x: Tensor, in_bytes: int) -> int:
    """How many lanes of `x` lie side by side in so many bytes: 1 where planes are contiguous."""
    return in_bytes // x.element_size() if ge_ops.is_channels_last(x) else 1


def _plan_global(
    x: Tensor, dy: Tensor | None, logits: Tensor | None, out: Tensor, slopes: Tensor
) -> Launch:
    batch, channels, height, width = x.shape
    lanes = batch * channels
    sizes = _global_sizes(height * width, _neighbours(x, 32))
    return Launch(
        ge_triton.excite_global,
        triton.cdiv(lanes, sizes["L"]),
        (x, dy, logits, out, slopes, lanes, channels),
        sizes | _modes(x, dy, logits),
        _warps(sizes["L"] * sizes["P"]),
    )


def _plan_pooled(
    x: Tensor, dy: Tensor | None, logits: Tensor | None, out: Tensor, slopes: Tensor, extent: int
) -> list[Launch]:
    batch, channels, height, width = x.shape
    lanes = batch * channels
    sizes = _pooled_sizes(height, width, extent, _neighbours(x, 64))
    gates = None
    if dy is not None and logits is None:
        number = lanes * sizes["h"] * sizes["w"]
        gates, slopes = (torch.empty(number, device=x.device) for _ in range(2))
    first = Launch(
        ge_triton.excite_pooled,
        triton.cdiv(lanes, sizes["L"]) * triton.cdiv(sizes["h"], sizes["A"]),
        (x, dy, logits, out, gates, slopes, lanes, channels),
        sizes | _modes(x, dy, logits),
        _warps(sizes["L"] * sizes["A"] * sizes["B"] * sizes["BLOCK"]),
    )
    if gates is None:
        return [first]
    spread = {key: sizes[key] for key in ("H", "W", "h", "w", "E")}
    spread |= _spread_sizes(height * width, _neighbours(x, 64))
    second = Launch(
        ge_triton.spread_slopes,
        triton.cdiv(lanes, spread["L"]) * triton.cdiv(height * width, spread["P"]),
        (dy, gates, slopes, out, lanes, channels),
        spread | {"LAST": int(ge_ops.is_channels_last(x))},
        _warps(spread["L"] * spread["P"]),
    )
    return [first, second]


def _warps(elements: int) -> int:
    """8 elements a thread: with 16, odd extents need 200 registers, and half of the SM idles."""
    return min(max(elements // 256, 1), 32)


def _global_sizes(pixels: int, least: int) -> dict[str, int]:
    """`least` lanes or more, neighbours in memory: fewer would waste a part of every sector."""
    padded = triton.next_power_of_2(pixels)
    lanes = min(max(TILE // padded, least), 32)
    if padded * lanes > ON_CHIP:
        padded = ON_CHIP // 2 // lanes
    return {"PIXELS": pixels, "L": lanes, "P": padded}


def _spread_sizes(pixels: int, least: int) -> dict[str, int]:
    padded = min(triton.next_power_of_2(pixels), TILE // least)
    return {"L": min(max(TILE // padded, 1), 32), "P": padded}


@functools.lru_cache(maxsize=256)
def _pooled_sizes(height: int, width: int, extent: int, least: int) -> dict[str, int]:
    rows, columns = _cell(height, extent), _cell(width, extent)
    h, w = -(-height // extent), -(-width // extent)
    b, block = triton.next_power_of_2(w), triton.next_power_of_2(extent)
    cell = triton.next_power_of_2(columns.most)
    row = b * max(block, cell)
    least = min(least, max(2 * ON_CHIP // row, 1))
    a = min(max(TILE // (row * least), 1), triton.next_power_of_2(h))
    return {
        **{"H": height, "W": width, "h": h, "w": w, "E": extent},
        **{"L": min(max(TILE // (row * a), least), 32), "A": a, "B": b, "BLOCK": block},
        **{"ROWS": rows.most, "EARLY_ROW": rows.early, "CELL": cell, "EARLY_COLUMN": columns.early},
    }


class Cell(NamedTuple):
    """The elements that take one gate, along one axis: from ⌈gate · size / gates⌉ − early on."""

    most: int  # elements of the longest cell
    early: int  # 1 where F.interpolate's float32 rounds an element to the gate before the exact one


def _cell(size: int, extent: int) -> Cell:
    gates = -(-size // extent)
    source = ge_ops.sources(size, 1, extent)[0].tolist()
    starts = [-(-gate * size // gates) for gate in range(gates)]
    ends = [max(i for i in range(size) if source[i] == gate) for gate in range(gates)]
    early = max(start - source.index(gate) for gate, start in enumerate(starts))
    early = max(early, 0)
    return Cell(max(e - s for e, s in zip(ends, starts, strict=True)) + early + 1, early)
