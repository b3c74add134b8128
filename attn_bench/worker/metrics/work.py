"""Counts the arithmetic of a forward pass, including work that fvcore does not count.

`macs_fvcore` is the exact total of fvcore. It ignores pooling by `mean`, gates, activations and
softmax, and it mixes multiply-accumulates with BatchNorm's operations. A second analysis uses
fvcore with our handles and splits the work in two:

- `macs`: multiply-accumulates of convolutions and matrix products, nothing else;
- `elementwise_ops`: one for each result of an elementwise function (sigmoid and exp included), one
  for each element that a reduction or a pooling window reads, BatchNorm's two (five in training).

Copies and views are not arithmetic. The notes name every operator that neither analysis knows.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from math import prod
from typing import Any

import torch
from fvcore.nn import jit_handles

# fvcore's public analyses of these would each trace the module again.
from fvcore.nn.activation_count import _DEFAULT_SUPPORTED_OPS as FVCORE_ACTIVATIONS
from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS as FVCORE_FLOPS
from fvcore.nn.jit_analysis import JitModelAnalysis
from torch import Tensor, nn

from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.called import CalledCase

Handle = Callable[[list[Any], list[Any]], "Counter[str]"]

MACS, OPS, FLOPS, ACTIVATIONS = "macs", "elementwise_ops", "macs_fvcore", "activations"
TOTALS = (MACS, OPS, FLOPS, ACTIVATIONS)
ATEN = "aten::"


@dataclass(frozen=True, slots=True)
class Work:
    """The arithmetic of one forward pass of the whole batch.

    operations: operator ("convolution", "mul") -> its part of `macs` and `elementwise_ops`.
    uncounted: operator -> number of calls.
    """

    macs_fvcore: int
    macs: int
    elementwise_ops: int
    activations: int
    operations: Mapping[str, int]
    uncounted: Mapping[str, int]


def measure(called: CalledCase) -> Mapping[str, Any]:
    """Measure the work, or note why it cannot be counted."""
    built = called.built
    try:
        counted = attempt("counting", lambda: count_work(built.module, built.x.detach()))
    except CaseFailed as failed:
        return {"notes": (str(failed),)}
    return asdict(counted)


def count_work(module: nn.Module, x: Tensor) -> Work:
    """Count the forward pass of `module` on `x` (N, C, H, W), by tracing it.

    Raises the error of the tracer if the module cannot be traced.
    """
    with torch.no_grad(), _quiet_tracer():
        analysis = JitModelAnalysis(module, x).set_op_handle(**_all_handles())
        analysis.unsupported_ops_warnings(False)
        analysis.uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        counted = {name: int(total) for name, total in analysis.by_operator().items()}
        unknown = Counter(analysis.unsupported_ops())
    totals = {name: counted.pop(name, 0) for name in TOTALS}
    unknown.update({name: n for name, n in counted.items() if name.startswith(ATEN)})
    operations = {name: n for name, n in counted.items() if n and not name.startswith(ATEN)}
    return Work(**totals, operations=operations, uncounted=dict(unknown))


@cache
def _all_handles() -> Mapping[str, Handle]:
    """Combine fvcore's two analyses and ours, so that one trace serves all; tracing is slow.

    An operator that only fvcore counts stands under its full name, once for each call.
    """
    handles: dict[str, list[Handle]] = {name: [handle] for name, handle in HANDLES.items()}
    for kind, known in ((FLOPS, FVCORE_FLOPS), (ACTIVATIONS, FVCORE_ACTIVATIONS)):
        for name, handle in known.items():
            if handle is not None:
                handles.setdefault(name, [_a_call_of(name)]).append(_as(kind, handle))
    return {name: _together(several) for name, several in handles.items()}


def _a_call_of(name: str) -> Handle:
    return lambda inputs, outputs: Counter({name: 1})


def _together(handles: Sequence[Handle]) -> Handle:
    def together(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        total: Counter[str] = Counter()
        for handle in handles:
            total.update(handle(inputs, outputs))
        return total

    return together


@contextmanager
def _quiet_tracer() -> Iterator[None]:
    """Silence the tracer: torch.jit's warnings are irrelevant, fvcore's are in `uncounted`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- handles: (inputs, outputs) of a traced operator -> how much it adds to MACS or OPS -----------


def _elements(value: Any) -> int:
    shape = jit_handles.get_shape(value)
    return 0 if shape is None else prod(shape)


def _as(kind: str, fvcore_handle: Callable[..., Any]) -> Handle:
    """A handle of fvcore that puts its count under `kind`."""

    def handle(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        counted = fvcore_handle(inputs, outputs)
        total = sum(counted.values()) if isinstance(counted, Counter) else counted
        return Counter({kind: int(total)})

    return handle


def _per_output(operations: int) -> Handle:
    return lambda inputs, outputs: Counter({OPS: operations * _elements(outputs[0])})


def _per_input(operations: int) -> Handle:
    return lambda inputs, outputs: Counter({OPS: operations * _elements(inputs[0])})


def _nothing(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter()


def _pooling(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """One for each element of each window; padding does not count."""
    height, width = jit_handles.get_shape(inputs[0])[-2:]
    out_height, out_width = jit_handles.get_shape(outputs[0])[-2:]
    kernel, stride, padding = (_pair(inputs[index]) for index in (1, 2, 3))
    stride = stride or kernel
    read = 1
    for axis, (size, out) in enumerate(((height, out_height), (width, out_width))):
        starts = [index * stride[axis] - padding[axis] for index in range(out)]
        read *= sum(min(start + kernel[axis], size) - max(start, 0) for start in starts)
    planes = _elements(inputs[0]) // (height * width)
    return Counter({OPS: planes * read})


def _pair(value: Any) -> list[int]:
    given = [item.toIValue() for item in value.node().inputs()] or value.toIValue() or []
    return list(given) * 2 if len(given) == 1 else list(given)


def _attention(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Two matrix products, and a softmax over (…, queries, keys) between them."""
    *batch, queries, depth = jit_handles.get_shape(inputs[0])
    keys = jit_handles.get_shape(inputs[1])[-2]
    value_depth = jit_handles.get_shape(inputs[2])[-1]
    scores = prod(batch) * queries * keys
    return Counter({MACS: scores * (depth + value_depth), OPS: _SOFTMAX * scores})


_SOFTMAX = 5  # maximum, difference, exp, sum, quotient


def _named(name: str, handle: Handle) -> Handle:
    """A handle that also puts the count of `handle` under the name of the operator."""

    def named(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        counted = handle(inputs, outputs)
        return counted + Counter({name.strip("_"): counted[OPS] + counted[MACS]})

    return named


_TABLE: Mapping[Any, str] = {
    _as(MACS, jit_handles.conv_flop_jit): "_convolution",
    _as(MACS, jit_handles.addmm_flop_jit): "addmm",
    _as(MACS, jit_handles.linear_flop_jit): "linear",
    _as(MACS, jit_handles.matmul_flop_jit): "matmul mm",
    _as(MACS, jit_handles.bmm_flop_jit): "bmm",
    _as(MACS, jit_handles.einsum_flop_jit): "einsum",
    _attention: "scaled_dot_product_attention",
    _as(OPS, jit_handles.batchnorm_flop_jit): "batch_norm",
    _as(OPS, jit_handles.norm_flop_counter(2)): "group_norm layer_norm",
    _as(OPS, jit_handles.norm_flop_counter(1)): "instance_norm",
    _pooling: "avg_pool2d max_pool2d",
    _per_input(1): "adaptive_avg_pool2d adaptive_max_pool2d mean sum amax amin max min",
    _per_input(2): "norm linalg_vector_norm",
    _per_input(3): "var std var_mean std_mean",
    _per_output(1): (
        "add sub rsub mul div neg abs sqrt rsqrt reciprocal pow square exp log tanh sigmoid relu "
        "relu6 leaky_relu clamp hardtanh maximum minimum"
    ),
    _per_output(3): "hardsigmoid silu hardswish gelu mish softplus elu",
    _per_output(4): "upsample_bilinear2d",
    _per_output(_SOFTMAX): "softmax log_softmax",
    _nothing: (
        "upsample_nearest2d clone pad unfold im2col expand_as repeat reshape_as view_as movedim "
        "swapaxes eye alias lift_fresh dropout feature_dropout numpy_T repeat_interleave"
    ),
}
HANDLES: Mapping[str, Handle] = {
    f"{ATEN}{name}{in_place}": _named(name, handle)
    for handle, names in _TABLE.items()
    for name in names.split()
    for in_place in ("", "_")
}
