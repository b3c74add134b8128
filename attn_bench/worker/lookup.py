"""Finds implementations in a folder by the names of their files."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def find_class(package: str, name: str, base: type[T]) -> type[T]:
    """The subclass of `base` that the file called `name` in `package` defines."""
    module = importlib.import_module(f"{package}.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
    )
    return found


def load_files(package: str) -> Iterator[ModuleType]:
    """Every file of `package`, imported, in alphabetical order."""
    for file in pkgutil.iter_modules(importlib.import_module(package).__path__):
        yield importlib.import_module(f"{package}.{file.name}")
