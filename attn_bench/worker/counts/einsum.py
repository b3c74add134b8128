"""The work of an einsum, from its equation and the sizes of its operands. Pure.

Two operands at a time are contracted: from left to right, or in the order of a given path. That is
what PyTorch does. A step that sums over an index of both operands is a matrix product, with one
multiply-accumulate for each combination of all indices of the two. A step that sums over none is an
elementwise product. An index that only one operand has, and that nothing later needs, is summed
before the step; that reads each element once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

ELLIPSIS = "..."
Sizes = dict[str, int]  # index -> its size


@dataclass(frozen=True, slots=True)
class Work:
    """Multiply-accumulates and elementwise operations."""

    macs: int
    ops: int


def count(equation: str, shapes: Sequence[Sequence[int]], path: Sequence[int] = ()) -> Work:
    """Count the work of `torch.einsum(equation, …)` for operands of these shapes.

    path: the positions of the two operands of each step, as `aten::einsum` takes it; a result is
        appended. If empty, the first two are contracted, and the result becomes the first.

    >>> count("bchw,cd->bdhw", [(2, 16, 8, 8), (16, 16)])
    Work(macs=32768, ops=0)
    >>> count("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)])  # 2 · 3 · 4, then 2 · 4 · 5
    Work(macs=64, ops=0)
    >>> count("bchw,bc->bchw", [(2, 16, 8, 8), (2, 16)])
    Work(macs=0, ops=2048)
    """
    left, given, result = equation.replace(" ", "").partition("->")
    names = left.split(",")
    if len(names) != len(shapes):
        raise ValueError(f"{equation!r} is for {len(names)} operands, not {len(shapes)}")
    operands = [_name(one, sizes) for one, sizes in zip(names, shapes, strict=True)]
    kept = _indices_of(result, operands) if given else _implied(left, operands)
    macs = ops = 0
    for step in range(len(operands) - 1):
        first, second = sorted(path[2 * step : 2 * step + 2]) if path else (0, 1)
        b, a = operands.pop(second), operands.pop(first)
        needed = kept.union(*operands)
        work, product = _contract(a, b, needed)
        macs, ops = macs + work.macs, ops + work.ops
        operands.insert(len(operands) if path else 0, product)
    (last,) = operands
    return Work(macs, ops + _summed(last, kept)[0])


def _contract(a: Sizes, b: Sizes, needed: set[str]) -> tuple[Work, Sizes]:
    """The work of one step, and its result."""
    ops_a, a = _summed(a, needed | b.keys())
    ops_b, b = _summed(b, needed | a.keys())
    both = {name: max(a.get(name, 1), b.get(name, 1)) for name in a | b}
    size = prod(both.values())
    result = {name: n for name, n in both.items() if name in needed}
    if result == both:
        return Work(0, ops_a + ops_b + size), result
    return Work(size, ops_a + ops_b), result


def _summed(operand: Sizes, needed: set[str]) -> tuple[int, Sizes]:
    """The operations that sum over what is not needed, and the operand after that."""
    kept = {name: size for name, size in operand.items() if name in needed}
    return (0 if kept == operand else prod(operand.values())), kept


def _name(indices: str, sizes: Sequence[int]) -> Sizes:
    """The sizes of an operand by index; the ellipsis stands for indices counted from the right.

    >>> _name("a...b", (2, 3, 4, 5))
    {'a': 2, '...2': 3, '...1': 4, 'b': 5}
    """
    before, has_ellipsis, after = indices.partition(ELLIPSIS)
    hidden = len(sizes) - len(before) - len(after)
    if hidden < 0 or (hidden and not has_ellipsis):
        raise ValueError(f"{indices!r} is not for {len(sizes)} dimensions")
    names = [*before, *(f"{ELLIPSIS}{n}" for n in range(hidden, 0, -1)), *after]
    return dict(zip(names, sizes, strict=True))


def _indices_of(result: str, operands: Sequence[Sizes]) -> set[str]:
    kept = set(result.replace(ELLIPSIS, ""))
    return kept | _hidden(operands) if ELLIPSIS in result else kept


def _implied(left: str, operands: Sequence[Sizes]) -> set[str]:
    """The indices of the result where the equation does not give them: those that occur once."""
    letters = left.replace(ELLIPSIS, "").replace(",", "")
    return {name for name in letters if letters.count(name) == 1} | _hidden(operands)


def _hidden(operands: Sequence[Sizes]) -> set[str]:
    return {name for operand in operands for name in operand if name.startswith(ELLIPSIS)}
