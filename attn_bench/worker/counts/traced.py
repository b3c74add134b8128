"""Reads shapes and numbers from the values of a traced graph.

A handle gets (inputs, outputs) of an operator as values of the graph. It raises Unreadable if it
needs a value that the trace does not contain, so that unknown work is never 0.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

MACS, OPS = "macs", "elementwise_ops"
ATEN = "aten::"
Handle = Callable[[list[Any], list[Any]], "Counter[str]"]

# Sizes of the map are numbers of the graph: these make one from others.
ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "aten::mul": operator.mul,
    "aten::floor_divide": operator.floordiv,
    "aten::remainder": operator.mod,
    "aten::pow": operator.pow,
}
SCALED: Mapping[str, Callable[[Any, Any], Any]] = {
    "aten::add": operator.add,
    "aten::sub": operator.sub,
}
SAME = frozenset({"prim::NumToTensor", "aten::ScalarImplicit", "prim::ImplicitTensorToNum"})


class Unreadable(Exception):
    """A value that the trace does not contain."""


def shape(value: Any) -> list[int]:
    """The sizes of a tensor. Raises Unreadable if the trace does not know them."""
    if not value.isCompleteTensor():
        raise Unreadable(f"the trace has no shape of {value.debugName()}")
    return list(value.type().sizes())


def elements(value: Any) -> int:
    return prod(shape(value))


def number(value: Any) -> int | float:
    """A number that is constant, or follows from the sizes of tensors.

    Raises Unreadable if it depends on anything else.
    """
    node = value.node()
    kind, inputs = node.kind(), list(node.inputs())
    if kind == "prim::Constant":
        constant = value.toIValue()
        if constant is None:
            raise Unreadable("a number is None")
        return float(constant) if isinstance(constant, float) else int(constant)
    if kind == "aten::size" and len(inputs) == 2:
        return shape(inputs[0])[int(number(inputs[1]))]
    if kind == "aten::Int":
        return int(number(inputs[0]))
    if kind in SAME:
        return number(inputs[0])
    if kind == "aten::div":
        return _quotient(inputs)
    if kind in ARITHMETIC:
        return ARITHMETIC[kind](number(inputs[0]), number(inputs[1]))  # type: ignore[no-any-return]
    if kind in SCALED:  # the third input multiplies the second
        return SCALED[kind](  # type: ignore[no-any-return]
            number(inputs[0]), number(inputs[1]) * number(inputs[2])
        )
    raise Unreadable(f"a number comes from {kind}")


def numbers(value: Any) -> list[int]:
    """A list of numbers; empty for None."""
    node = value.node()
    if node.kind() == "prim::ListConstruct":
        return [int(number(item)) for item in node.inputs()]
    constant = value.toIValue()
    if constant is None and node.kind() != "prim::Constant":
        raise Unreadable(f"a list comes from {node.kind()}")
    return [int(item) for item in constant or ()]


def _quotient(inputs: list[Any]) -> int | float:
    quotient = number(inputs[0]) / number(inputs[1])
    rounding = inputs[2].toIValue() if len(inputs) > 2 else None
    if rounding is None:
        return quotient
    return number(inputs[0]) // number(inputs[1]) if rounding == "floor" else int(quotient)
