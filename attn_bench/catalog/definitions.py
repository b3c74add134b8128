"""Where modules are defined: file and line, found in the source text. Runs none of its code."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from attn_bench.catalog.code import is_installed
from attn_bench.catalog.registry import builtin
from attn_bench.catalog.source import find_origin, find_source
from attn_bench.model.errors import RequestError


@dataclass(frozen=True, slots=True)
class Definition:
    """The place of a class or a factory.

    file: from the root of the repository.
    line: the first line is 1.
    """

    file: str
    line: int


def find_definitions(modules: Collection[str], words: Sequence[str]) -> dict[str, Definition]:
    """The places of those `modules` that the repository of the current folder contains.

    words: what `--modules-from` names. If one word registers a module in a way that its text does
    not show, the place is the first line of its file.
    """
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)
    if root is None or not modules:
        return {}
    targets = {entry.name: str(entry.target) for entry in builtin()}
    files = [file for word in words for file in _list_files(word)]
    fallback = (files[0], 1) if len(words) == 1 and files else None
    found = {}
    for name in modules:
        place = (
            _find_target(targets[name]) if name in targets else _find_call(name, files) or fallback
        )
        if place and place[0].is_relative_to(root) and not is_installed(place[0]):
            found[name] = Definition(place[0].relative_to(root).as_posix(), place[1])
    return found


def _list_files(word: str) -> list[Path]:
    """The file that `word` names; for a package, `__init__.py` and the files below."""
    try:
        file = find_source(word).file
    except RequestError:  # removed since the modules were loaded
        return []
    others = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else []
    return list(dict.fromkeys([file, *others]))


def _find_call(name: str, files: Sequence[Path]) -> tuple[Path, int] | None:
    """Where `register(name)` decorates a class or a function, or is called."""
    for file in files:
        for node in ast.walk(_parse(file)):
            calls = [node, *getattr(node, "decorator_list", ())]
            if any(_registers(call, name) for call in calls):
                return file, node.lineno  # type: ignore[attr-defined]  # a call or a definition
    return None


def _registers(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Call(
            func=ast.Name(id="register") | ast.Attribute(attr="register"),
            args=[ast.Constant(value=first), *_],
        ):
            return first == name
    return False


def _find_target(target: str) -> tuple[Path, int] | None:
    """Where the class or the function of an import path is defined."""
    module, _, attribute = target.partition(":")
    origin = find_origin(module)
    if origin is None:
        return None
    file = Path(origin).resolve()
    found = [node for node in _parse(file).body if getattr(node, "name", None) == attribute]
    return file, found[0].lineno if found else 1


def _parse(file: Path) -> ast.Module:
    """The syntax of a file; empty if it cannot be read."""
    with suppress(OSError, SyntaxError, ValueError, RecursionError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the user's code, which its import shows, too
        return ast.parse(file.read_bytes())
    return ast.Module([], [])
