"""Another version of the user's code in the same process, apart from the current one.

Both versions import their helpers by the same names. So the helpers of the other version are in
`sys.modules`, and its folders on `sys.path`, only while that version is at work.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from attn_bench.catalog import code
from attn_bench.catalog.registry import Registry, register_into


class OtherVersion:
    """The modules of another version.

    moved: a folder of the current version -> the folder that takes its place.
    """

    def __init__(self, moved: Mapping[str, str] | None = None) -> None:
        self._moved = {
            Path(here).resolve(): Path(there).resolve() for here, there in (moved or {}).items()
        }
        self._modules: dict[str, ModuleType] = {}
        self._is_moved: dict[str, bool] = {}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, `import` finds the other version's modules."""
        if not self._moved:
            yield
            return
        current, path = self._take_out(), list(sys.path)
        tops = {name.partition(".")[0] for name in current}
        homes = [place.parent for name in sorted(tops) if (place := _package(current.get(name)))]
        folders = [*homes, *(Path(folder or ".") for folder in path)]
        sys.path[:] = dict.fromkeys(self._move(folder) for folder in folders)
        sys.modules.update(self._modules)
        importlib.invalidate_caches()
        before = set(sys.modules)
        try:
            with register_into(Registry(), "the baseline"):
                yield
        finally:
            loaded = {name: sys.modules[name] for name in sys.modules.keys() - before}
            self._modules |= {n: m for n, m in loaded.items() if self._is_theirs(m)}
            for name in self._modules:
                sys.modules.pop(name, None)
            sys.modules.update(current)
            sys.path[:] = path

    def _take_out(self) -> dict[str, ModuleType]:
        """Remove the current version of what has moved from `sys.modules`, and return it."""
        for name in [name for name in sys.modules if name not in self._is_moved]:
            self._is_moved[name] = self._has_moved(sys.modules[name])
        names = [name for name in sys.modules if self._is_moved[name]]
        return {name: sys.modules.pop(name) for name in names}

    def _has_moved(self, module: ModuleType) -> bool:
        root = getattr(module, "__name__", "").partition(".")[0]
        place = code.place_of(module)
        if root in code.OWN_ROOTS or place is None or code.is_installed(place):
            return False
        return any(place.is_relative_to(h) for h in self._moved) and not self._is_theirs(module)

    def _is_theirs(self, module: ModuleType) -> bool:
        place = code.place_of(module)
        return place is not None and any(place.is_relative_to(t) for t in self._moved.values())

    def _move(self, folder: Path) -> str:
        """The folder of the other version that takes the place of `folder`."""
        folder = folder.resolve()
        for here, there in self._moved.items():
            if folder.is_relative_to(here) and not folder.is_relative_to(there):
                return str(there / folder.relative_to(here))
        return str(folder)


def _package(module: ModuleType | None) -> Path | None:
    """The file of a module, or the folder of a package."""
    place = None if module is None else code.place_of(module)
    return place.parent if place is not None and place.name == "__init__.py" else place
