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
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

from attn_bench.catalog.registry import BUILTIN_PACKAGE, entry_points
from attn_bench.catalog.source import FILE_PREFIX, find_origin
from attn_bench.model.paths import MODULES

BASELINE_PACKAGE = "attn_bench_base"
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
            found[f"package {point.dist.name}"] = point.dist.version
    return found


class Loaded:
    """The digests of the modules that this process loads from now on, taken at the first look."""

    def __init__(self) -> None:
        self.digests = digest_declared()
        self._seen = set(sys.modules)

    def look(self) -> dict[str, str]:
        """The digests of the modules that were loaded since the last look."""
        names = [name for name in list(sys.modules) if name not in self._seen]
        self._seen.update(names)
        found = {name: digest for name in names if (digest := _digest_loaded(name)) is not None}
        self.digests |= found
        return found

    def find(self, names: Iterable[str]) -> dict[str, str]:
        """The digests of `names` as they are now; a module that is gone has none.

        A module that is not loaded is looked for, and not run.
        """
        found = dict(self.digests)
        for name in names:
            if name not in found and (origin := find_origin(name)) is not None:
                found[name] = _digest_file(Path(origin))
        return found


def first_difference(then: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The name of the first module of `then` that is another one now; None if all are the same."""
    return next((name for name in sorted(then) if then[name] != now.get(name)), None)


def shown(name: str) -> str:
    """The name of a module for people.

    >>> shown("attn_bench_user_mine"), shown("my_pkg.core")
    ('mine', 'my_pkg.core')
    """
    return "the built-in modules" if name == BUILTIN_PACKAGE else name.removeprefix(FILE_PREFIX)


def place_of(module: ModuleType) -> Path | None:
    """The file of a module, or a folder of a namespace package; None if it has none."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        file = next(iter(getattr(module, "__path__", ())), None)
    return Path(file).resolve() if isinstance(file, str) else None


def is_installed(place: Path) -> bool:
    """Whether a file belongs to Python or to an installed package; one installed as editable no."""
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
    if root in OWN_ROOTS or root.startswith(BASELINE_PACKAGE) or root not in sys.modules:
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
    """The digest of a file and of the native sources beside it, which it may compile."""
    native = [path for path in sorted(file.parent.iterdir()) if path.suffix in NATIVE]
    return _digest(path.read_bytes() for path in [file, *native] if path.is_file())


def _digest(content: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\0".join(content)).hexdigest()[:16]
