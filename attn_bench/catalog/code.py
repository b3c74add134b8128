"""Which code a process measures: a digest of each module that is not installed.

A figure is valid for one code only. Digests tell whether two runs, or a run and the present, have
the same. No path is part of them.
"""

from __future__ import annotations

import hashlib
import json
import site
import sys
import sysconfig
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

from attn_bench.catalog.registry import BUILTIN_PACKAGE, entry_points
from attn_bench.catalog.source import FILE_PREFIX, find_origin
from attn_bench.model.case import BASELINE
from attn_bench.model.paths import MODULES

BASELINE_PACKAGE = "attn_bench_base"
PACKAGE = "package "  # begins the name of an installed package, whose digest is its version
NATIVE = (".c", ".cc", ".cpp", ".cxx", ".cu", ".cuh", ".h", ".hpp")
OWN_ROOTS = ("attn_bench", "__main__", "__mp_main__")


def hash_of(digests: Mapping[str, str]) -> str:
    """One hash of the whole code."""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()[:16]


def digest_declared() -> dict[str, str]:
    """The digests of what every process may measure, whether it is loaded or not.

    It is the folder of the built-ins, and the versions of the packages that declare modules.
    """
    content = [path.read_bytes() for path in sorted(MODULES.glob("*.[pc]*"))]
    found = {BUILTIN_PACKAGE: _digest(content)}
    for point in entry_points():
        if point.dist is not None:
            found[PACKAGE + point.dist.name] = point.dist.version
    return found


def of_every_host(digests: Mapping[str, str]) -> dict[str, str]:
    """The digests of code that every host of a fleet must share.

    The versions of packages that a user's code may need, as torch, differ between devices.
    """
    declared = digest_declared()
    return {
        name: digest
        for name, digest in digests.items()
        if name in declared or not name.startswith(PACKAGE)
    }


class Loaded:
    """The digests of the modules that this process loads from now on, taken at the first look."""

    def __init__(self) -> None:
        self.digests = digest_declared()
        self._seen = set(sys.modules)
        self._count = 0
        self._roots: set[str] = set()  # of modules whose packages are not looked up yet

    def look(self) -> dict[str, str]:
        """The digests of the modules and packages that were loaded since the last look."""
        if len(sys.modules) == self._count:  # nothing was loaded
            return {}
        self._count = len(sys.modules)
        names = [name for name in list(sys.modules) if name not in self._seen]
        self._seen.update(names)
        found = {name: digest for name in names if (digest := _digest_loaded(name)) is not None}
        if any(name.startswith(BUILTIN_PACKAGE) for name in names):  # edited since the start?
            found[BUILTIN_PACKAGE] = digest_declared()[BUILTIN_PACKAGE]
        self._roots.update(name.partition(".")[0] for name in names)
        self.digests |= found
        if self.digests.keys() - {BUILTIN_PACKAGE}:  # a user's code may need any package
            found |= _versions(self._roots)
            self.digests |= found
            self._roots.clear()
        return found

    def add_baseline(self, modules: Mapping[str, ModuleType]) -> None:
        """Add the digests of another version of the code."""
        for name in modules:
            place = place_of(modules[name])
            if place is not None and place.is_file():
                self.digests[name + BASELINE] = _digest_file(place)

    def find(self, names: Iterable[str]) -> dict[str, str]:
        """The digests of `names` as they are now; a module that is gone has none.

        A module that is not loaded is looked for, and not run.
        """
        found = dict(self.digests)
        for name in set(names) - found.keys():
            if name.startswith(PACKAGE):
                with suppress(metadata.PackageNotFoundError, ValueError):
                    found[name] = metadata.version(name.removeprefix(PACKAGE))
            elif (origin := find_origin(name)) is not None:
                found[name] = _digest_file(Path(origin))
        return found


def first_difference(
    then: Mapping[str, str], now: Mapping[str, str], loaded: Iterable[str] = ()
) -> str | None:
    """The name of the first module of `then` that is another one now; None if all are the same.

    loaded: what is loaded now. What `then` did not have is a difference, too.
    """
    names = sorted({*then, *loaded})
    return next((name for name in names if name not in then or then[name] != now.get(name)), None)


def shown(name: str) -> str:
    """The name of a module for people.

    >>> shown("attn_bench_user_mine"), shown("my_pkg.core")
    ('mine', 'my_pkg.core')
    """
    return "the built-in modules" if name == BUILTIN_PACKAGE else name.removeprefix(FILE_PREFIX)


def _versions(roots: Collection[str]) -> dict[str, str]:
    """The versions of the installed packages among `roots`, except Python's own modules."""
    roots = {r for r in roots if r not in sys.stdlib_module_names and not r.startswith("_")}
    if not roots:
        return {}
    owners = _distributions()
    names = {name for root in roots for name in owners.get(root, ())}
    return {PACKAGE + name: metadata.version(name) for name in names}


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Root of a module's name -> the installed packages that it comes from."""
    return metadata.packages_distributions()


def place_of(module: ModuleType) -> Path | None:
    """The file of a module, or a folder of a namespace package; None if it has none."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        file = next(iter(getattr(module, "__path__", ())), None)
    if not isinstance(file, str) or not Path(file).is_absolute():
        return None
    return _resolve(file)


@cache
def _resolve(file: str) -> Path:
    """The real path: a process has thousands of modules, and asks for them again and again."""
    return Path(file).resolve()


@cache
def is_installed(place: Path) -> bool:
    """Whether a file belongs to Python or to an installed package, if that is not editable."""
    return any(place.is_relative_to(folder) for folder in _installed_folders())


@cache
def _installed_folders() -> tuple[Path, ...]:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(kind) for kind in kinds]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({Path(folder).resolve() for folder in folders})


def _digest_loaded(name: str) -> str | None:
    """The digest of a loaded module; None if it is installed, ours, or has no file.

    torch.compile loads the kernels that it makes as parts of packages that do not exist.
    """
    root = name.partition(".")[0]
    if root in OWN_ROOTS or root not in sys.modules:
        return None
    module = sys.modules.get(name)
    if not isinstance(module, ModuleType):
        return None
    for each in (sys.modules.get(root), module):  # a cache may hold parts of an installed package
        place = place_of(each) if isinstance(each, ModuleType) else None
        if place is not None and is_installed(place):
            return None
    return _digest_file(place) if place is not None and place.is_file() else None


def _digest_file(file: Path) -> str:
    """The digest of a file, with the native sources beside it or in its package's folders."""
    below = file.parent.rglob("*") if file.name == "__init__.py" else file.parent.iterdir()
    native = [path for path in sorted(below) if path.suffix in NATIVE]
    return _digest(path.read_bytes() for path in [file, *native] if path.is_file())


def _digest(content: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\0".join(content)).hexdigest()[:16]
