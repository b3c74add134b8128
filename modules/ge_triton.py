"""Gather-Excite's kernels for NVIDIA GPUs, in Triton. `ge_cuda` plans and starts them.

x, dy and out are lanes × H × W; logits, gates and slopes are lanes × h × w. L, A, B, BLOCK, CELL
and P are powers of 2. The window of gate (a, b) covers block (a, b), and the blocks before it
except for their first row and column. A tensor that a call lacks is None: the kernel is then
compiled without the code that needs it.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def _at(lane, channels, pixels, LAST: tl.constexpr):  # type: ignore[no-untyped-def]
    """The offset at which a lane begins."""
    if LAST:
        return (lane // channels).to(tl.int64) * (pixels * channels) + lane % channels
    return lane.to(tl.int64) * pixels


@triton.jit  # type: ignore[untyped-decorator]
def _step(pixel, channels, LAST: tl.constexpr):  # type: ignore[no-untyped-def]
    """The offset of a pixel from the beginning of its lane."""
    if LAST:
        return pixel * channels
    return pixel


@triton.jit  # type: ignore[untyped-decorator]
def _source(index, GATES: tl.constexpr, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The gate of an element, with the float32 rounding of F.interpolate."""
    scale: tl.constexpr = GATES / SIZE
    return tl.minimum((index.to(tl.float32) * scale).to(tl.int32), GATES - 1)


@triton.jit  # type: ignore[untyped-decorator]
def excite_global(  # type: ignore[no-untyped-def]
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
    """One gate for each lane; a map of more than P pixels is read twice."""
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
    if BLOCK == E:  # a simple index, so that the compiler can use wide loads
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
    """1 / (elements of a window that lie within the map), along one axis."""
    size = tl.minimum(gate * E + E, SIZE) - tl.maximum(gate * E - E + 1, 0)
    return 1.0 / tl.maximum(size, 1).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def excite_pooled(  # type: ignore[no-untyped-def]
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

    Forward: out = x · gate. Backward: the slopes. With given logits also out = dy · gate; with
    means the gates instead, which `spread_slopes` needs.
    """
    bands: tl.constexpr = (
        h + A - 1
    ) // A  # neighbouring bands run side by side: they share rows of x
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
    if CELL * w == W and EARLY_COLUMN == 0:  # cells lie side by side: loads can be wide
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
def spread_slopes(  # type: ignore[no-untyped-def]
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
    """out = dy · gate + the slopes of the one, two or four windows that cover an element."""
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
