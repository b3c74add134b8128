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
from attn_bench.model.errors import RequestError


class OtherVersion:
    """The modules of another version.

    moved: a folder of the current version -> the folder that takes its place.
    modules: what it has imported from there.
    """

    def __init__(self, moved: Mapping[str, str] | None = None) -> None:
        self._moved = {
            Path(here).resolve(): Path(there).resolve() for here, there in (moved or {}).items()
        }
        self.modules: dict[str, ModuleType] = {}
        self._is_moved: dict[str, bool] = {}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, `import` finds the other version's modules.

        Raises RequestError at the end if one came from the current version.
        """
        if not self._moved:
            yield
            return
        current, path = self._take_out(), list(sys.path)
        tops = {name.partition(".")[0] for name in current}
        homes = [place.parent for name in sorted(tops) if (place := _package(current.get(name)))]
        folders = [*(Path(folder or ".") for folder in path), *homes]
        sys.path[:] = dict.fromkeys(self._move(folder) for folder in folders)
        sys.modules.update(self.modules)
        importlib.invalidate_caches()
        before = set(sys.modules)
        try:
            with register_into(Registry(), "the baseline"):
                yield
        finally:
            loaded = {name: sys.modules[name] for name in sys.modules.keys() - before}
            self.modules |= {n: m for n, m in loaded.items() if self._is_theirs(m)}
            for name in self.modules:
                sys.modules.pop(name, None)
            sys.modules.update(current)
            sys.path[:] = path
        wrong = sorted(name for name, module in loaded.items() if self._has_moved(module))
        if wrong:
            raise RequestError(
                f"the baseline imported {wrong[0]} of the current version: an editable package or "
                "a path that the code adds to sys.path comes first"
            )

    def _take_out(self) -> dict[str, ModuleType]:
        """Remove the current version of what has moved from `sys.modules`, and return it."""
        for name in [name for name in sys.modules if name not in self._is_moved]:
            self._is_moved[name] = self._has_moved(sys.modules[name])
        names = [name for name in sys.modules if self._is_moved.get(name)]
        return {name: sys.modules.pop(name) for name in names}

    def _has_moved(self, module: ModuleType) -> bool:
        root = getattr(module, "__name__", "").partition(".")[0]
        place = code.place_of(module)
        if root in code.OWN_ROOTS or place is None or code.is_installed(place):
            return False
        return self._owner(place) in self._moved

    def _is_theirs(self, module: ModuleType) -> bool:
        place = code.place_of(module)
        return place is not None and self._owner(place) in self._moved.values()

    def _owner(self, place: Path) -> Path | None:
        """The folder of one of the versions that `place` is in: one may lie in the other."""
        folders = [*self._moved, *self._moved.values()]
        inside = [folder for folder in folders if place.is_relative_to(folder)]
        return max(inside, key=lambda folder: len(folder.parts), default=None)

    def _move(self, folder: Path) -> str:
        """The folder of the other version that takes the place of `folder`."""
        folder = folder.resolve()
        here = self._owner(folder)
        if here not in self._moved or code.is_installed(folder):
            return str(folder)
        return str(self._moved[here] / folder.relative_to(here))


def _package(module: ModuleType | None) -> Path | None:
    """The file of a module, or the folder of a package."""
    place = None if module is None else code.place_of(module)
    return place.parent if place is not None and place.name == "__init__.py" else place
