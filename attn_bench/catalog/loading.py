"""Runs the code that registers modules: packages, files, another version. For workers only."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from attn_bench.catalog import code
from attn_bench.catalog.code import BASELINE_PACKAGE
from attn_bench.catalog.other_version import OtherVersion
from attn_bench.catalog.registry import (
    BUILTIN,
    Registry,
    builtin,
    entry_points,
    register,
    register_into,
)
from attn_bench.catalog.source import FILE_PREFIX, Source, find_source
from attn_bench.model.case import BASELINE
from attn_bench.model.errors import RequestError, in_one_line, nearest
from attn_bench.model.paths import PACKAGE
from attn_bench.model.protocol import BaselineCode


def load_all(
    words: Iterable[str] = (), loaded: Callable[[str], None] = lambda word: None
) -> Registry:
    """Built-ins, entry points, and what `words` name. It runs code, so only workers call it.

    loaded: called after each entry point and each word, with its name.
    The folder of each file or package goes first on `sys.path`, and the current folder last.
    Raises RequestError, with file and line, for code that raises or registers nothing. An entry
    point that cannot be loaded is still registered; building it raises the reason.
    """
    registry = builtin()
    for point in entry_points():
        with register_into(registry, f"package {point.dist.name if point.dist else '?'}"):
            _load_entry_point(point, registry)
        loaded(f"entry point {point.name}")
    words = list(words)
    if words and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    for word in words:
        source = find_source(word)
        known, is_loaded = len(list(registry)), source.module in sys.modules
        with register_into(registry, word):
            _load(source, FILE_PREFIX)
        if len(list(registry)) == known and not is_loaded:
            raise RequestError(f"{word}: registers no module{_hint(source)}")
        loaded(word)
    _complain_of_homonyms([find_source(word) for word in words])
    return registry


def load_object(word: str, option: str = "--backbone") -> Any:
    """What FILE.py:NAME or PACKAGE.MODULE:NAME names. It runs code, so only workers call it.

    option: the word before it in the command, for errors.
    Raises RequestError, with the nearest name, if it names nothing or its code raises.
    """
    where, _, name = word.rpartition(":")
    source = find_source(where, option)
    if source.is_plain_file:
        own = _free_name(FILE_PREFIX + source.file.stem, source.file)
        if own not in sys.modules:
            _load(source, FILE_PREFIX)
        module = sys.modules[own]
    else:
        _load(source, FILE_PREFIX)
        module = sys.modules[source.module]
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [each for each in vars(found) if not each.startswith("_")]
            raise RequestError(f"{where} has no {part!r}{nearest(part, known)}")
        found = getattr(found, part)
    return found


def load_baseline(registry: Registry, baseline: BaselineCode) -> OtherVersion:
    """Load another version of the modules as NAME@base, beside the current one. Workers call it.

    Its code must run inside `active` of the result, so that its imports find its own helpers.
    Raises RequestError if its code cannot be loaded.
    """
    other, found = OtherVersion(baseline.moved), Registry()
    with other.active():
        if baseline.package is not None:
            # Another name, so that its files import each other and not the current ones.
            package = Path(baseline.package)
            with register_into(found, BUILTIN):
                _load_file(BASELINE_PACKAGE, package / "__init__.py", [str(package)]).register_all()
        for word in baseline.files:
            with register_into(found, word):
                _load(find_source(word), f"{BASELINE_PACKAGE}_")
    for entry in found:
        registry.add(replace(entry, name=entry.name + BASELINE))
    return other


def _load_entry_point(point: importlib.metadata.EntryPoint, registry: Registry) -> None:
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:  # any code may be behind an entry point
        reason = f"entry point {point.value}: {in_one_line(error)}"

        def unusable(channels: int) -> None:
            raise ImportError(reason)

        register(point.name, summary=reason)(unusable)
        return
    if callable(loaded) and all(entry.target is not loaded for entry in registry):
        register(point.name)(loaded)


def _load(source: Source, prefix: str) -> None:
    """Import what `source` names; a file in no package under its name after `prefix`."""
    if str(source.folder) not in sys.path:
        sys.path.insert(0, str(source.folder))
    if source.is_plain_file:
        _load_file(_free_name(prefix + source.file.stem, source.file), source.file)
        return
    try:
        module = importlib.import_module(source.module)
    except (Exception, SystemExit) as error:  # any code may be in a user's package
        raise RequestError(f"{_place(source.file, error)}: {in_one_line(error)}") from error
    if code.place_of(module) != source.file:
        raise RequestError(
            f"{source.word}: another module is called {source.module!r} here: rename the package"
        )


def _complain_of_homonyms(sources: Iterable[Source]) -> None:
    """Raise RequestError if two folders have helpers of one name, of which a process has one."""
    folders = {source.folder for source in sources}
    for name, module in list(sys.modules.items()) if len(folders) > 1 else ():
        place = code.place_of(module)
        if place is None or name.startswith(FILE_PREFIX) or code.is_installed(place):
            continue
        for home in (folder for folder in folders if place.is_relative_to(folder)):
            for other in (folder / place.relative_to(home) for folder in folders - {home}):
                if other.is_file():
                    raise RequestError(
                        f"--modules-from: {_shown(place)} and {_shown(other)} are both imported "
                        f"as {name}: make each folder a package"
                    )


def _free_name(name: str, file: Path) -> str:
    """`name`, with a number if a file in another folder has it already."""
    found, number = name, 1
    while (taken := sys.modules.get(found)) is not None and code.place_of(taken) != file:
        number += 1
        found = f"{name}_{number}"
    return found


def _hint(source: Source) -> str:
    if source.file.name == "__init__.py":
        folder = _shown(source.file.parent)
        return (
            f" when it is imported: import the file that does in {folder}/__init__.py, or name it"
        )
    return ' (@register("name") above a class?)'


def _load_file(name: str, path: Path, folders: list[str] | None = None) -> ModuleType:
    """Run a Python file, which registers its modules; `folders` make it a package."""
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # any code may be in a user's file
        is_relative = "attempted relative import" in str(error)
        hint = " (write `import helper`, or make the folder a package)" if is_relative else ""
        raise RequestError(f"{_place(path, error)}: {in_one_line(error)}{hint}") from error
    return module


def _place(path: Path, error: BaseException) -> str:
    """FILE:LINE in the user's code that raised the error; the first line of `path` if unknown."""
    if isinstance(error, SyntaxError) and error.lineno and error.filename:
        return f"{_shown(Path(error.filename))}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_users(frame.filename)]
    return f"{_shown(Path(own[-1].filename))}:{own[-1].lineno}" if own else f"{_shown(path)}:1"


def _is_users(file: str) -> bool:
    place = Path(file).resolve()
    return place.is_file() and not code.is_installed(place) and not place.is_relative_to(PACKAGE)


def _shown(path: Path) -> str:
    """The path from the current folder, if it is inside."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
