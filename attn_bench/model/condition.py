"""`--where` and `leave_out`: a condition on columns, in a small part of Python's syntax.

It may contain comparisons, `in`, `and`, `or`, `not`, parentheses, numbers and strings. Nothing is
executed. A comparison with an empty cell, or between a number and a word, is false.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attn_bench.model.errors import RequestError, nearest

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, many: item in many,
    ast.NotIn: lambda item, many: item not in many,
}


class Condition:
    """A condition on the columns of a row.

    >>> wide = Condition("channels >= 256 and module != 'se'", ["channels", "module"])
    >>> wide({"channels": 512, "module": "cbam"}), wide({"channels": None, "module": "cbam"})
    (True, False)
    """

    def __init__(self, text: str, columns: Iterable[str], place: str = "--where") -> None:
        """Parse `text`. Raises RequestError unless it is a condition on `columns`."""
        self.text = text
        self._place = place
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # of `1if x else y`
                self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.args[0] if error.args else "nested too deeply"
            hint = "; use == for equal" if re.search(r"[^=!<>]=[^=]", text) else ""
            raise self._wrong(f"cannot be read ({reason}{hint})") from None
        known = set(columns)
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Name) and node.id not in known:
                hint = nearest(node.id, known)
                if node.id in self._compared() and "did you mean" not in hint:
                    hint = f" (a text needs quotes: '{node.id}')"
                raise self._wrong(f"unknown column {node.id!r}{hint}")
        self(dict.fromkeys(known))  # visits every node once, so that a bad one is reported now

    def _compared(self) -> set[str]:
        """The names that a comparison has on its right side, where a value stands."""
        right = (
            s for n in ast.walk(self._tree) if isinstance(n, ast.Compare) for s in n.comparators
        )
        return {side.id for side in right if isinstance(side, ast.Name)}

    def __call__(self, row: Mapping[str, Any]) -> bool:
        return bool(self._value(self._tree, row))

    def _value(self, node: ast.expr, row: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=str() | int() | float() | bool() as value):
                return value
            case ast.Name(id=name):
                return row.get(name)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return [self._value(item, row) for item in items]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._value(operand, row)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.BoolOp(op=op, values=parts):
                values = [bool(self._value(part, row)) for part in parts]
                return all(values) if isinstance(op, ast.And) else any(values)
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [self._value(side, row) for side in [left, *others]]
                return all(
                    self._holds(op, a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False)
                )
        raise self._wrong(f"{ast.unparse(node)!r} is not a comparison of columns with values")

    def _holds(self, op: ast.cmpop, left: Any, right: Any) -> bool:
        if type(op) not in _COMPARISONS:
            raise self._wrong("'is' is not a comparison here (==?)")
        try:
            return _COMPARISONS[type(op)](left, right)
        except TypeError:
            return False

    def _wrong(self, reason: str) -> RequestError:
        return RequestError(f"{self._place} {self.text!r}: {reason}")
