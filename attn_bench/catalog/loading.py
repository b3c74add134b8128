"""Runs the code that registers modules: packages, files, another version. For workers only."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from attn_bench.catalog.registry import (
    BUILTIN,
    Registry,
    builtin,
    entry_points,
    register,
    register_into,
)
from attn_bench.model.case import BASELINE
from attn_bench.model.errors import RequestError, in_one_line
from attn_bench.model.paths import MODULES

BASELINE_PACKAGE = "attn_bench_base"


def code_hash(files: Iterable[str] = ()) -> str:
    """A hash of all code that can be registered. Stored figures are valid for one code only.

    It covers the built-ins, `files`, and the versions of the packages that declare modules.
    """
    folder = MODULES
    content = [path.read_bytes() for path in sorted(folder.glob("*.[pc]*"))]
    content += [Path(file).read_bytes() for file in files]
    for point in entry_points():
        version = point.dist.version if point.dist else "?"
        content.append(f"{point.name} {point.value} {version}".encode())
    return hashlib.sha256(b"\0".join(content)).hexdigest()[:16]


def load_all(
    files: Iterable[str] = (), loaded: Callable[[str], None] = lambda file: None
) -> Registry:
    """Built-ins, entry points and `files`. It runs code, so only workers call it.

    loaded: called after each entry point and each file, with its name.
    Raises RequestError, with file and line, for a file that raises or registers nothing. An entry
    point that cannot be loaded is still registered; building it raises the reason.
    """
    registry = builtin()
    for point in entry_points():
        with register_into(registry, f"package {point.dist.name if point.dist else '?'}"):
            _load_entry_point(point, registry)
        loaded(f"entry point {point.name}")
    for file in files:
        known = len(list(registry))
        with register_into(registry, file):
            _load_module(f"attn_bench_user_{Path(file).stem}", Path(file))
        if len(list(registry)) == known:
            raise RequestError(f'{file}: registers no module (@register("name") above a class?)')
        loaded(file)
    return registry


def load_baseline(registry: Registry, package: str | None, files: Iterable[str]) -> None:
    """Load another version of the modules as NAME@base, beside the current one. Workers call it.

    package: a folder like `modules/`. It gets another package name, so that its files import each
        other and not the current ones.
    files: as for `load_all`.
    Raises RequestError if a file cannot be loaded.
    """
    baseline = Registry()
    if package is not None:
        with register_into(baseline, BUILTIN):
            _load_module(BASELINE_PACKAGE, Path(package, "__init__.py"), [package]).register_all()
    for file in files:
        with register_into(baseline, file):
            _load_module(f"{BASELINE_PACKAGE}_{Path(file).stem}", Path(file))
    for entry in baseline:
        registry.add(replace(entry, name=entry.name + BASELINE))


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


def _load_module(name: str, path: Path, folders: list[str] | None = None) -> Any:
    """Run a Python file, which registers its modules; `folders` make it a package."""
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise RequestError(f"{path}: not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # any code may be in a user's file
        raise RequestError(f"{path}:{_line_in(path, error)}: {in_one_line(error)}") from error
    return module


def _line_in(path: Path, error: BaseException) -> int:
    """The line of the file at `path` that raised the error; 1 if it is elsewhere."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    here = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return (here[-1] if here else None) or 1
