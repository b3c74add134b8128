"""Handles of convolutions and matrix products: the operators that add to `macs`."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

from attn_bench.worker.counts import einsum
from attn_bench.worker.counts.traced import MACS, OPS, Handle, elements, numbers, shape

SOFTMAX = 5  # maximum, difference, exp, sum, quotient


def product(factor: int) -> Handle:
    """A matrix product, of vectors and broadcast batches too.

    Each element of the result is a sum over the last index of the left factor, which is the input
    at position `factor`.
    """

    def handle(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        return Counter({MACS: elements(outputs[0]) * shape(inputs[factor])[-1]})

    return handle


def addbmm(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """The sum of the products of a batch of matrices."""
    batch, _, inner = shape(inputs[1])
    return Counter({MACS: elements(outputs[0]) * batch * inner})


def tensordot(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Each element of the result is a sum over the given dimensions of the left factor."""
    sizes = shape(inputs[0])
    inner = prod(sizes[dim] for dim in numbers(inputs[2]))
    return Counter({MACS: elements(outputs[0]) * inner})


def convolution(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """A window of the kernel for each element of the result; transposed: of the input.

    The weight is (out, in / groups, …); transposed: (in, out / groups, …).
    """
    transposed = len(inputs) > 7 and bool(inputs[6].toIValue())
    places = inputs[0] if transposed else outputs[0]
    return Counter({MACS: elements(places) * prod(shape(inputs[1])[1:])})


def contraction(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """An einsum: exact, in the order in which PyTorch contracts."""
    shapes = [shape(operand) for operand in inputs[1].node().inputs()]
    path = numbers(inputs[2]) if len(inputs) > 2 else []
    work = einsum.count(inputs[0].toIValue(), shapes, path)
    return Counter({MACS: work.macs, OPS: work.ops})


def attention(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Two matrix products, and a softmax over (…, queries, keys) between them."""
    *batch, queries, value_depth = shape(outputs[0])
    depth, keys = shape(inputs[0])[-1], shape(inputs[1])[-2]
    scores = prod(batch) * queries * keys
    return Counter({MACS: scores * (depth + value_depth), OPS: SOFTMAX * scores})
