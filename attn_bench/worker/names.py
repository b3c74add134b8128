"""What the names of Python's and PyTorch's modules and classes mean: replaced ones are put back."""

from __future__ import annotations

import builtins
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

# What Python itself stores in a class on demand.
PYTHONS_OWN = {"__annotations__", "__slotnames__", "__abstractmethods__", "_abc_impl"}
# Where the functions come from that `torch.compile` puts in place of others, and how its own names
# begin.
_TORCH = Path(torch.__file__).parent
COMPILERS = tuple(str(_TORCH / name) for name in ("_dynamo", "_compile.py"))
AT_IMPORT = str(_TORCH / "_compile.py")  # also without a call of the compiler
COMPILERS_PREFIX = "___"
_missing = object()


class Names:
    """The values of the names, and the objects whose names they are.

    A module of Python may get new names, because it imports late, and new values that are not
    functions, because it counts and caches. A class may not.
    """

    def __init__(self) -> None:
        layers = [value for value in vars(nn).values() if isinstance(value, type)]
        self._owners: list[Any] = [
            *(time, math, builtins, torch, torch.autograd, torch.cuda, torch.linalg, torch.special),
            *(nn.functional, nn.init, torch._C._nn),
            *(torch.cuda.Event, torch.Tensor, nn.Parameter, torch.autograd.Function, nn.Module),
            *dict.fromkeys(layer for layer in layers if layer not in (nn.Module, nn.Parameter)),
        ]
        self._views = [vars(owner).values() for owner in self._owners]
        self._values: list[Any] = []
        self._before: list[dict[str, Any]] = []
        self.accept()

    def accept(self) -> None:
        """Take the present values as those to put back."""
        self._before = [dict(vars(owner)) for owner in self._owners]
        self._values = list(chain.from_iterable(self._views))

    def _is_same(self) -> bool:
        # Lists of the same objects are compared without a look into them, in 10 ns each.
        with suppress(Exception):  # two values that cannot be compared are not the same
            return list(chain.from_iterable(self._views)) == self._values
        return False

    def put_back(self, *, compiles: bool = False) -> list[tuple[str, bool]]:
        """What was replaced, and whether it is put back.

        compiles: whether the compiler was called, whose own replacements stay.
        """
        if self._is_same():
            return []
        found = []
        for owner, before in zip(self._owners, self._before, strict=True):
            for name in list(_changed(owner, before, COMPILERS if compiles else (AT_IMPORT,))):
                told = f"replaced {owner.__name__}.{name}"
                found.append((told, _put_back(owner, name, before.get(name, _missing))))
        self.accept()
        return found


def _changed(owner: Any, before: dict[str, Any], allowed: tuple[str, ...]) -> Iterator[str]:
    """The names of `owner` with another value, or without one, and the new names of a class.

    allowed: how the files begin whose functions may take the place of others.
    """
    now, is_module = vars(owner), isinstance(owner, ModuleType)
    for name, value in before.items():
        if now.get(name, _missing) is value or _is_compilers(name, now.get(name), allowed):
            continue
        if callable(value) or not is_module:
            yield name
    if is_module:
        return
    for name in now.keys() - before.keys():
        if name not in PYTHONS_OWN and not _is_compilers(name, now[name], allowed):
            yield name


def _is_compilers(name: str, value: Any, allowed: tuple[str, ...]) -> bool:
    """Whether `torch.compile` replaces that name when it is first used."""
    code = getattr(value, "__code__", None)
    return name.startswith(COMPILERS_PREFIX) or (
        code is not None and code.co_filename.startswith(allowed)
    )


def _put_back(owner: Any, name: str, value: Any) -> bool:
    """Give `name` its earlier value. False if it cannot be changed."""
    try:
        if value is _missing:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
    except (AttributeError, TypeError):
        return False
    return True
