"""Gather-Excite's kernels for NVIDIA GPUs, in Triton. NEVER RUN ON A GPU YET: held to a float64
oracle in Triton's interpreter, and compiled for sm_80 and sm_90, on machines without one. That they
are fast is reasoned below, and not measured: `benchmarks/ge_cuda.py` measures it.

`excite(x, logits, extent)` is x ⊙ interp(σ(logits)), with the clipped window means of x where no
logits are given, as in `ge_cpu`. Sums are in float32, in one order: the same bits in every run.

A lane is one plane, and a program takes several lanes: planes where they are contiguous, channels
where channels are last, so that neighbouring threads read neighbouring bytes.
  global    one launch; the map stays in registers between its sum and its product. One that does
            not fit is read twice by the same program, the second time out of the L2.
  pooled    one launch; a program takes a band of gates: it adds up the windows' rows, then columns
            (what two windows share is added once), and multiplies the elements that take these
            gates, which the L1 or L2 still has. Bands share e−1 rows of x.
  backward  as forward where the extent is global or the logits are given. A pooled mean needs the
            slopes of neighbouring bands: a launch for gates and slopes, then one for the gradient
            of x, which reads dy again: 4 units of traffic where 3 would do.
Sizes and extents are compiled in: a new one costs a compilation, as with `torch.compile`.
"""

from __future__ import annotations

import functools
import os
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .ge_cpu import _layout, _like, _sources

# Two versions of this file may be loaded side by side: each has operators of its own.
NAMESPACE = __name__.replace(".", "_")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
WIDEST = 4096  # columns: a row of windows is a tile
TILE = 4096  # elements of a tile, where they can be chosen
ON_CHIP = 2**14  # elements of a map, times lanes, that stay in registers: 16 a thread, twice


def suits(x: Tensor) -> bool:
    """Whether the kernels take `x`: offsets within a sample are 32 bits, across samples 64."""
    if x.device.type != DEVICE or x.dtype not in DTYPES or x.dim() != 4 or not is_available():
        return False
    return x.shape[3] <= WIDEST and x.shape[1] * x.shape[2] * x.shape[3] < 2**31


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # a compiled graph need not look again
def is_available() -> bool:
    """In the interpreter; or where every GPU has bfloat16, which is from compute capability 8.0."""
    if DEVICE == "cpu":
        return True
    devices = range(torch.cuda.device_count())
    return all(torch.cuda.get_device_capability(i) >= (8, 0) for i in devices)


def excite(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
    """N×C×H×W, and N×C×h×w or None, to N×C×H×W in the layout of x; extent 0 is global."""
    y: Tensor = _excite(x, logits, extent)
    return y


@torch.library.custom_op(f"{NAMESPACE}::excite", mutates_args=(), device_types=DEVICE)
def _excite(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
    out, _ = _run(x, None, logits, extent)
    return out


@torch.library.custom_op(f"{NAMESPACE}::excite_backward", mutates_args=(), device_types=DEVICE)
def _excite_backward(
    x: Tensor, gradient: Tensor, logits: Tensor | None, extent: int
) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the logits; the second is empty where none were given."""
    return _run(x, gradient, logits, extent)


@_excite.register_fake
def _(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
    return _like(x)


@_excite_backward.register_fake
def _(x: Tensor, gradient: Tensor, logits: Tensor | None, extent: int) -> tuple[Tensor, Tensor]:
    return _like(x), x.new_empty(0) if logits is None else _small(x, logits)


def _remember(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, logits, ctx.extent = inputs
    ctx.save_for_backward(x, logits)


def _gradients(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
    x, logits = ctx.saved_tensors
    of_x, of_logits = _excite_backward(x, gradient, logits, ctx.extent)
    return of_x, None if logits is None else of_logits, None


_excite.register_autograd(_gradients, setup_context=_remember)


def _small(x: Tensor, like: Tensor) -> Tensor:
    """Room for the gradient of `like`, in the layout of x."""
    return torch.empty_like(like, memory_format=_layout(x))


def _run(
    x: Tensor, gradient: Tensor | None, logits: Tensor | None, extent: int
) -> tuple[Tensor, Tensor]:
    layout = _layout(x)
    batch, channels, height, width = x.shape
    extent = min(extent or max(height, width, 1), max(height, width, 1))
    gates = batch, channels, -(-height // extent), -(-width // extent)
    if logits is not None and logits.shape != gates:
        raise ValueError(f"excite: logits of shape {tuple(logits.shape)}, not {gates}")
    x = x.contiguous(memory_format=layout)
    out = torch.empty_like(x, memory_format=layout)
    slopes = x.new_empty(0)
    if gradient is not None:
        gradient = gradient.contiguous(memory_format=layout)
    if logits is not None:
        logits = logits.contiguous(memory_format=layout)
        slopes = slopes if gradient is None else _small(x, logits)
    if x.numel():
        launches = _launches(x, gradient, logits, out, slopes, extent)
        with torch.cuda.device_of(x):
            for launch in launches:
                launch.kernel[(launch.programs,)](
                    *launch.arguments, **launch.sizes, num_warps=launch.warps
                )
    return out, slopes


# --- launches --------------------------------------------------------------------------------


Arguments = tuple[Tensor | int | None, ...]


class Launch(NamedTuple):
    kernel: Any  # what triton.jit makes of a function
    programs: int
    arguments: Arguments
    sizes: dict[str, int]  # compiled in
    warps: int


def _launches(
    x: Tensor, dy: Tensor | None, logits: Tensor | None, out: Tensor, slopes: Tensor, extent: int
) -> list[Launch]:
    """What to run for one call, on tensors of one layout; `out` and `slopes` are written to."""
    batch, channels, height, width = x.shape
    lanes = batch * channels
    arguments: Arguments
    is_last = _layout(x) == torch.channels_last
    modes = {
        "LAST": int(is_last),
        "GIVEN": int(logits is not None),
        "BACKWARD": int(dy is not None),
    }
    if extent == max(height, width):
        sizes = _global_sizes(height * width, 32 // x.element_size() if is_last else 1)
        programs = triton.cdiv(lanes, sizes["L"])
        arguments = (x, dy, logits, out, slopes, lanes, channels)
        return [
            Launch(_global, programs, arguments, sizes | modes, _warps(sizes["L"] * sizes["P"]))
        ]
    sizes = _pooled_sizes(height, width, extent, 64 // x.element_size() if is_last else 1)
    programs = triton.cdiv(lanes, sizes["L"]) * triton.cdiv(sizes["h"], sizes["A"])
    warps = _warps(sizes["L"] * sizes["A"] * sizes["B"] * sizes["BLOCK"])
    gates = None
    if dy is not None and logits is None:
        gates, slopes = (
            torch.empty(batch * channels * sizes["h"] * sizes["w"], device=x.device)
            for _ in range(2)
        )
    arguments = (x, dy, logits, out, gates, slopes, lanes, channels)
    first = Launch(_pooled, programs, arguments, sizes | modes, warps)
    if gates is None:
        return [first]
    spread = {key: sizes[key] for key in ("H", "W", "h", "w", "E")}
    spread |= _spread_sizes(height * width, 64 // x.element_size() if is_last else 1)
    programs = triton.cdiv(lanes, spread["L"]) * triton.cdiv(height * width, spread["P"])
    arguments = (dy, gates, slopes, out, lanes, channels)
    spread |= {"LAST": int(is_last)}
    return [first, Launch(_spread, programs, arguments, spread, _warps(spread["L"] * spread["P"]))]


def _warps(elements: int) -> int:
    """8 elements a thread: with 16, odd extents need 200 registers, and half of the SM is idle."""
    return min(max(elements // 256, 1), 32)


def _global_sizes(pixels: int, least: int) -> dict[str, int]:
    """`least` lanes are neighbours in memory: fewer would waste a part of every sector."""
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
    """The elements that take one gate, along one axis: those from ⌈gate · size / gates⌉ − early."""

    most: int
    early: int  # 1 where F.interpolate's float32 puts an element before where exact arithmetic does


def _cell(size: int, extent: int) -> Cell:
    gates = -(-size // extent)
    source = _sources(size, 1, extent)[0].tolist()
    starts = [-(-gate * size // gates) for gate in range(gates)]
    ends = [max(i for i in range(size) if source[i] == gate) for gate in range(gates)]
    early = max(start - source.index(gate) for gate, start in enumerate(starts))
    early = max(early, 0)
    return Cell(max(e - s for e, s in zip(ends, starts, strict=True)) + early + 1, early)


# --- kernels ---------------------------------------------------------------------------------
# x, dy, out: lanes × H × W. logits, gates, slopes: lanes × h × w.
# L, A, B, BLOCK, CELL, P are powers of 2.
# A window of gates (a, b) takes all of block (a, b), and of the blocks before but their first row
# and column. Without `dy` etc. a kernel gets None and is compiled without what needs it.


@triton.jit  # type: ignore[untyped-decorator]
def _at(lane, channels, pixels, LAST: tl.constexpr):  # type: ignore[no-untyped-def]
    """Where a lane begins."""
    if LAST:
        return (lane // channels).to(tl.int64) * (pixels * channels) + lane % channels
    return lane.to(tl.int64) * pixels


@triton.jit  # type: ignore[untyped-decorator]
def _step(pixel, channels, LAST: tl.constexpr):  # type: ignore[no-untyped-def]
    """How far a pixel is from where its lane begins."""
    if LAST:
        return pixel * channels
    return pixel


@triton.jit  # type: ignore[untyped-decorator]
def _source(index, GATES: tl.constexpr, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The gate that an element takes: in float32, as F.interpolate has it."""
    scale: tl.constexpr = GATES / SIZE
    return tl.minimum((index.to(tl.float32) * scale).to(tl.int32), GATES - 1)


@triton.jit  # type: ignore[untyped-decorator]
def _global(  # type: ignore[no-untyped-def]
    x,
    dy,
    logits,
    out,
    slopes,
    lanes,
    channels,
    PIXELS: tl.constexpr,
    L: tl.constexpr,
    P: tl.constexpr,
    LAST: tl.constexpr,
    GIVEN: tl.constexpr,
    BACKWARD: tl.constexpr,
):
    """One gate a lane; maps of more than P pixels are gone through twice."""
    lane = tl.program_id(0) * L + tl.arange(0, L)[:, None]
    base = _at(lane, channels, PIXELS, LAST)
    pixel = tl.arange(0, P)[None, :]
    if P >= PIXELS:
        at = base + _step(pixel, channels, LAST)
        inside = (lane < lanes) & (pixel < PIXELS)
        kept = tl.load(x + at, inside, 0.0)
        sums = kept.to(tl.float32)
        if BACKWARD:
            kept = tl.load(dy + at, inside, 0.0)
            products = sums * kept.to(tl.float32)
    else:
        sums = tl.zeros([L, P], tl.float32)
        products = tl.zeros([L, P], tl.float32)
        if BACKWARD or not GIVEN:
            for first in range(0, PIXELS, P):
                at = base + _step(first + pixel, channels, LAST)
                inside = (lane < lanes) & (first + pixel < PIXELS)
                values = tl.load(x + at, inside, 0.0).to(tl.float32)
                sums += values
                if BACKWARD:
                    products += values * tl.load(dy + at, inside, 0.0).to(tl.float32)
    if GIVEN:
        logit = tl.load(logits + lane, lane < lanes, 0.0).to(tl.float32)
    else:
        logit = tl.sum(sums, 1)[:, None] / PIXELS
    gate = tl.sigmoid(logit)
    spread = tl.zeros([L, 1], tl.float32)
    if BACKWARD:
        slope = tl.sum(products, 1)[:, None] * gate * (1 - gate)
        if GIVEN:
            tl.store(slopes + lane, slope.to(slopes.dtype.element_ty), lane < lanes)
        else:
            spread = slope / PIXELS
    if P >= PIXELS:
        result = kept.to(tl.float32) * gate
        if BACKWARD:
            result += spread
        tl.store(out + at, result.to(out.dtype.element_ty), inside)
    else:
        for first in range(0, PIXELS, P):
            at = base + _step(first + pixel, channels, LAST)
            inside = (lane < lanes) & (first + pixel < PIXELS)
            if BACKWARD:
                result = tl.load(dy + at, inside, 0.0).to(tl.float32) * gate + spread
            else:
                result = tl.load(x + at, inside, 0.0).to(tl.float32) * gate
            tl.store(out + at, result.to(out.dtype.element_ty), inside)


@triton.jit  # type: ignore[untyped-decorator]
def _window_means(  # type: ignore[no-untyped-def]
    x,
    base,
    a,
    is_lane,
    channels,
    H: tl.constexpr,
    W: tl.constexpr,
    h: tl.constexpr,
    w: tl.constexpr,
    E: tl.constexpr,
    L: tl.constexpr,
    A: tl.constexpr,
    B: tl.constexpr,
    BLOCK: tl.constexpr,
    LAST: tl.constexpr,
):
    """The means over the windows of gate rows a: L×A×B."""
    q = tl.arange(0, B * BLOCK)[None, None, :]
    if BLOCK == E:  # said plainly, so that the compiler sees that loads can be wide
        column = q
        is_column = q < W
    else:
        column = q // BLOCK * E + q % BLOCK
        is_column = (q % BLOCK < E) & (column < W)
    is_column &= is_lane & (a < h)
    sums = tl.zeros([L, A, B * BLOCK], tl.float32)
    for k in range(2 * E - 1):
        row = a * E - (E - 1) + k
        at = base + _step(row * W + column, channels, LAST)
        sums += tl.load(x + at, is_column & (row >= 0) & (row < H), 0.0).to(tl.float32)
    blocks = tl.reshape(sums, [L, A, B, BLOCK])
    is_first = tl.arange(0, BLOCK)[None, None, None, :] == 0
    behind = tl.sum(tl.where(is_first, 0.0, blocks), 3)
    b = tl.arange(0, B)[None, None, :]
    before = tl.gather(behind, tl.broadcast_to(tl.maximum(b - 1, 0), [L, A, B]), 2)
    total = tl.sum(blocks, 3) + tl.where(b > 0, before, 0.0)
    return total * _share(a, E, H) * _share(b, E, W)


@triton.jit  # type: ignore[untyped-decorator]
def _share(gate, E: tl.constexpr, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """One by the number of elements of a window that lie within the map, along one axis."""
    size = tl.minimum(gate * E + E, SIZE) - tl.maximum(gate * E - E + 1, 0)
    return 1.0 / tl.maximum(size, 1).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def _pooled(  # type: ignore[no-untyped-def]
    x,
    dy,
    logits,
    out,
    gates,
    slopes,
    lanes,
    channels,
    H: tl.constexpr,
    W: tl.constexpr,
    h: tl.constexpr,
    w: tl.constexpr,
    E: tl.constexpr,
    L: tl.constexpr,
    A: tl.constexpr,
    B: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    EARLY_ROW: tl.constexpr,
    CELL: tl.constexpr,
    EARLY_COLUMN: tl.constexpr,
    LAST: tl.constexpr,
    GIVEN: tl.constexpr,
    BACKWARD: tl.constexpr,
):
    """A band of A rows of gates, and the elements that take them.

    Forward: out = x · gate. Backward: the slopes, and out = dy · gate where the logits are given;
    where they are means, the gates instead, for `_spread`.
    """
    bands: tl.constexpr = (h + A - 1) // A  # neighbours run side by side: they share rows of x
    lane = tl.program_id(0) // bands * L + tl.arange(0, L)[:, None, None]
    a = tl.program_id(0) % bands * A + tl.arange(0, A)[None, :, None]
    b = tl.arange(0, B)[None, None, :]
    is_lane = lane < lanes
    base = _at(lane, channels, H * W, LAST)
    gate_at = _at(lane, channels, h * w, LAST) + _step(a * w + b, channels, LAST)
    is_gate = is_lane & (a < h) & (b < w)
    if GIVEN:
        gate = tl.sigmoid(tl.load(logits + gate_at, is_gate, 0.0).to(tl.float32))
    else:
        gate = tl.sigmoid(
            _window_means(x, base, a, is_lane, channels, H, W, h, w, E, L, A, B, BLOCK, LAST)
        )
    q = tl.arange(0, B * CELL)[None, None, :]
    if CELL * w == W and EARLY_COLUMN == 0:  # cells side by side: loads can be wide
        column = q
        is_column = q < W
    else:
        column = (q // CELL * W + (w - 1)) // w - EARLY_COLUMN + q % CELL
        is_column = (column >= 0) & (column < W) & (_source(column, w, W) == q // CELL)
    up = tl.reshape(tl.broadcast_to(gate[:, :, :, None], [L, A, B, CELL]), [L, A, B * CELL])
    products = tl.zeros([L, A, B * CELL], tl.float32)
    for k in range(ROWS):
        row = (a * H + (h - 1)) // h - EARLY_ROW + k
        is_row = (row >= 0) & (row < H) & (_source(row, h, H) == a)
        inside = is_lane & is_row & is_column
        at = base + _step(row * W + column, channels, LAST)
        values = tl.load(x + at, inside, 0.0).to(tl.float32)
        if BACKWARD:
            gradients = tl.load(dy + at, inside, 0.0).to(tl.float32)
            products += values * gradients
            values = gradients
        if GIVEN or not BACKWARD:
            tl.store(out + at, (values * up).to(out.dtype.element_ty), inside)
    if BACKWARD:
        slope = tl.sum(tl.reshape(products, [L, A, B, CELL]), 3) * gate * (1 - gate)
        if not GIVEN:
            tl.store(gates + gate_at, gate, is_gate)
            slope = slope * _share(a, E, H) * _share(b, E, W)
        tl.store(slopes + gate_at, slope.to(slopes.dtype.element_ty), is_gate)


@triton.jit  # type: ignore[untyped-decorator]
def _spread(  # type: ignore[no-untyped-def]
    dy,
    gates,
    slopes,
    out,
    lanes,
    channels,
    H: tl.constexpr,
    W: tl.constexpr,
    h: tl.constexpr,
    w: tl.constexpr,
    E: tl.constexpr,
    L: tl.constexpr,
    P: tl.constexpr,
    LAST: tl.constexpr,
):
    """out = dy · gate + the slopes of the windows that an element lies in: one, two or four."""
    chunks: tl.constexpr = (H * W + P - 1) // P
    lane = tl.program_id(0) // chunks * L + tl.arange(0, L)[:, None]
    pixel = tl.program_id(0) % chunks * P + tl.arange(0, P)[None, :]
    inside = (lane < lanes) & (pixel < H * W)
    row, column = pixel // W, pixel % W
    base = _at(lane, channels, h * w, LAST)
    source = _source(row, h, H) * w + _source(column, w, W)
    gate = tl.load(gates + base + _step(source, channels, LAST), inside, 0.0)
    a, b = row // E, column // E
    below = inside & (row % E > 0) & (a + 1 < h)
    right = inside & (column % E > 0) & (b + 1 < w)
    here = slopes + base + _step(a * w + b, channels, LAST)
    down = _step(w, channels, LAST)
    aside = _step(1, channels, LAST)
    spread = tl.load(here, inside, 0.0) + tl.load(here + aside, right, 0.0)
    spread += tl.load(here + down, below, 0.0) + tl.load(here + down + aside, below & right, 0.0)
    at = _at(lane, channels, H * W, LAST) + _step(pixel, channels, LAST)
    result = tl.load(dy + at, inside, 0.0).to(tl.float32) * gate + spread
    tl.store(out + at, result.to(out.dtype.element_ty), inside)
