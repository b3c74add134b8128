"""The table of handles: what each operator adds to `macs` and `elementwise_ops`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from fvcore.nn import jit_handles

from attn_bench.worker.counts import products
from attn_bench.worker.counts.products import SOFTMAX, product
from attn_bench.worker.counts.traced import ATEN, OPS, Handle, numbers, shape


def _elements(value: Any) -> int:
    """The elements of a tensor; 0 for a number, which is not arithmetic on the map."""
    sizes = jit_handles.get_shape(value)
    return 0 if sizes is None else prod(sizes)


def _fvcores(handle: Callable[..., Any]) -> Handle:
    """A handle of fvcore that counts elementwise operations."""
    return lambda inputs, outputs: Counter({OPS: int(handle(inputs, outputs))})


def _per_output(operations: int) -> Handle:
    return lambda inputs, outputs: Counter({OPS: operations * _elements(outputs[0])})


def _per_input(operations: int) -> Handle:
    return lambda inputs, outputs: Counter({OPS: operations * _elements(inputs[0])})


def _nothing(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter()


def _pooling(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """One for each element of each window; padding does not count.

    The sizes of the window may come from those of the map.
    """
    *planes, height, width = shape(inputs[0])
    out_height, out_width = shape(outputs[0])[-2:]
    kernel, stride, padding = (_pair(inputs[index]) for index in (1, 2, 3))
    stride = stride or kernel
    read = 1
    for axis, (size, out) in enumerate(((height, out_height), (width, out_width))):
        starts = [index * stride[axis] - padding[axis] for index in range(out)]
        read *= sum(min(start + kernel[axis], size) - max(start, 0) for start in starts)
    return Counter({OPS: prod(planes) * read})


def _pair(value: Any) -> list[int]:
    given = numbers(value)
    return given * 2 if len(given) == 1 else given


_TABLE: Mapping[Any, str] = {
    products.convolution: "_convolution _convolution_mode",
    product(0): "linear matmul mm bmm mv dot vdot inner",
    product(1): "addmm baddbmm addmv",
    products.addbmm: "addbmm",
    products.tensordot: "tensordot",
    products.contraction: "einsum",
    products.attention: "scaled_dot_product_attention",
    _fvcores(jit_handles.batchnorm_flop_jit): "batch_norm",
    _fvcores(jit_handles.norm_flop_counter(2)): "group_norm layer_norm",
    _fvcores(jit_handles.norm_flop_counter(1)): "instance_norm",
    _pooling: "avg_pool2d max_pool2d",
    _per_input(1): "adaptive_avg_pool2d adaptive_max_pool2d mean sum amax amin max min",
    _per_input(2): "norm linalg_vector_norm",
    _per_input(3): "var std var_mean std_mean",
    _per_output(1): (
        "add sub rsub mul div neg abs sqrt rsqrt reciprocal pow square exp log tanh sigmoid relu "
        "relu6 leaky_relu clamp hardtanh maximum minimum sign outer ger"
    ),
    _per_output(3): "hardsigmoid silu hardswish gelu mish softplus elu",
    _per_output(4): "upsample_bilinear2d",
    _per_output(SOFTMAX): "softmax log_softmax",
    _nothing: (
        "upsample_nearest2d clone pad unfold im2col expand_as repeat reshape_as view_as unflatten "
        "movedim swapaxes eye alias lift_fresh dropout feature_dropout numpy_T repeat_interleave"
    ),
}
HANDLES: Mapping[str, Handle] = {
    f"{ATEN}{name}{in_place}": handle
    for handle, names in _TABLE.items()
    for name in names.split()
    for in_place in ("", "_")
}
