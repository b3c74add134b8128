"""What a word of `--modules-from` names: a file, a package or a module. Runs none of its code."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from attn_bench.model.errors import RequestError, nearest

# The name in sys.modules of a file that is in no package. It cannot hide another module.
FILE_PREFIX = "attn_bench_user_"
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class Source:
    """The code that a word names.

    word: as the user wrote it.
    module: the name to import it by.
    file: its file; that of a package is its `__init__.py`.
    folder: goes first on `sys.path`, as `python FILE.py` puts it there.
    """

    word: str
    module: str
    file: Path
    folder: Path

    @property
    def is_plain_file(self) -> bool:
        """Whether it is a file in no package, which is loaded by its path."""
        return self.module.startswith(FILE_PREFIX)


def find_source(word: str, option: str = "--modules-from") -> Source:
    """The code that `word` names: a file, the folder of a package, or a dotted name.

    A file inside a package is imported by its dotted name, so that its relative imports work.
    Raises RequestError, with the nearest name, if it names nothing.
    """
    path = Path(word)
    if path.is_dir():
        if not (path / "__init__.py").is_file():
            raise RequestError(
                f"{option} {word}: this folder has no __init__.py, so it is not a package"
            )
        return _of_file(word, path / "__init__.py")
    if path.is_file():
        if path.suffix != ".py":
            raise RequestError(f"{option} {word}: not a Python file (its name must end in .py)")
        return _of_file(word, path)
    if DOTTED.fullmatch(word) and path.suffix != ".py":
        return _of_name(word, option)
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    known = [str(other) for other in there if other.suffix == ".py"]
    raise RequestError(f"{option} {word}: file not found{nearest(word, known)}")


def _of_file(word: str, file: Path) -> Source:
    file = file.resolve()
    folder, names = file.parent, [] if file.name == "__init__.py" else [file.stem]
    if not (folder / "__init__.py").is_file():
        return Source(word, FILE_PREFIX + file.stem, file, folder)
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return Source(word, ".".join(names), file, folder)


def _of_name(word: str, option: str) -> Source:
    origin = find_origin(word, [str(Path.cwd()), *sys.path])
    if origin is None:
        near = [*Path.cwd().glob("*.py"), *Path.cwd().glob("*/__init__.py")]
        known = [p.name if p.name != "__init__.py" else p.parent.name for p in near]
        raise RequestError(
            f"{option} {word}: neither a file nor a module that can be imported"
            f"{nearest(word, known)}"
        )
    file = Path(origin).resolve()
    depth = word.count(".") + (file.name == "__init__.py")
    return Source(word, word, file, file.parents[depth])


def find_origin(name: str, folders: Iterable[str] | None = None) -> str | None:
    """The file that `import name` would read, found without running code; None if there is none.

    folders: where a module without a package is looked for; None for `sys.path`.
    """
    search = None if folders is None else list(folders)
    origin: str | None = None
    parts = name.split(".")
    for depth, part in enumerate(parts, 1):
        try:
            spec = _find_spec(".".join(parts[:depth]), search)
            if spec is None:
                return None
            origin, search = spec.origin, list(spec.submodule_search_locations or ())
        except KeyError:  # a folder without __init__.py in another, which Python imports to look
            inside = [Path(folder, part) for folder in (sys.path if search is None else search)]
            origin, search = None, [str(folder) for folder in inside if folder.is_dir()]
    return origin if origin and Path(origin).is_file() else None


def _find_spec(name: str, folders: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        found = finder.find_spec(name, folders)
        if found is not None:
            return found
    return None
