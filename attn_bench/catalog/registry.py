"""name -> variant: the only door to the modules under test.

Three sources, no privileges among them: the built-ins of `attn_bench.modules`, installed packages
that declare the entry point group `attn_bench.modules`, and files named with `--modules-from`.
All of them register through the same decorator. Registering by import path loads nothing, so that
a process that never imports torch can list the built-ins; entry points and files are code, and are
loaded by a worker only, which describes what they registered.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from attn_bench.model.case import BASELINE, PLAIN, Extent, Scalar
from attn_bench.model.errors import RequestError, in_one_line, nearest
from attn_bench.model.paths import MODULES

ENTRY_POINT_GROUP = "attn_bench.modules"
BUILTIN_PACKAGE = "attn_bench.modules"
BASELINE_PACKAGE = "attn_bench_base"
BUILTIN = "built-in"


Extents = tuple[Extent, ...] | Literal["any", "power_of_two"]
Target = Callable[..., Any] | str
T = TypeVar("T", bound=Target)


@dataclass(frozen=True)
class Entry:
    """One registered module: where its factory is, and what it takes.

    `extents` is None for a module without an extent, the extents it was registered for, or a rule:
    "any" (whole numbers from 2, and global) or "power_of_two" (2, 4, 8, …, and global).
    """

    name: str
    target: Target
    extents: Extents | None = None
    paper: str | None = None
    summary: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    origin: str = BUILTIN
    reference: Target | None = None
    probes: tuple[dict[str, Scalar], ...] = ()
    refuses: tuple[dict[str, Scalar], ...] = ()

    def extents_in_words(self) -> str:
        """For people: "2, 4, global"; empty for a module without an extent."""
        match self.extents:
            case None:
                return ""
            case "any":
                return "any from 2, global"
            case "power_of_two":
                return "powers of two, global"
            case listed:
                return ", ".join(str(extent) for extent in listed)

    def extent_problem(self, extent: Extent) -> str | None:
        """Why this module cannot take `extent`, with the nearest that it can; None if it can."""
        if self.extents is None:
            return f"{self.name} takes no extent"
        if isinstance(self.extents, tuple):
            if extent in self.extents:
                return None
            return f"{self.name} is registered for extents {self.extents_in_words()}, not {extent}"
        if extent == "global":
            return None
        if extent < 2:
            return f"extent {extent} is below 2 (2 or 'global'?)"
        if self.extents == "power_of_two" and extent & (extent - 1):
            below = 1 << (extent.bit_length() - 1)
            return f"extent {extent} is not a power of two ({below} or {2 * below}?)"
        return None

    def factory(self) -> Callable[..., Any]:
        """The callable behind the entry; imports it, and with it torch: for workers."""
        return _imported(self.target)

    def formula(self) -> Callable[..., Any] | None:
        """What `verify` compares with, imported likewise; None where there is nothing."""
        return None if self.reference is None else _imported(self.reference)

    def build(
        self, channels: int, feat_size: tuple[int, int], extent: Extent | None, **arguments: Any
    ) -> Any:
        """An instance for maps of `channels` × `feat_size`; raises whatever the constructor raises.

        `feat_size` and `extent` are passed only where the factory's signature takes them; a global
        extent is passed as 0, timm's convention.
        """
        factory = self.factory()
        parameters = inspect.signature(factory).parameters
        given = {**self.arguments, **arguments}
        if "feat_size" in parameters:
            given.setdefault("feat_size", feat_size)
        if extent is not None:
            given["extent"] = 0 if extent == "global" else extent
        return factory(channels, **given)


def _imported(target: Target) -> Callable[..., Any]:
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


class Registry:
    """Entries by name, in the order of registration; a name is taken once."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def add(self, entry: Entry) -> None:
        taken = self._entries.get(entry.name)
        if taken is not None and taken != entry:
            raise RequestError(
                f"{entry.origin}: module {entry.name!r} is already registered by {taken.origin}"
            )
        self._entries[entry.name] = entry

    def get(self, name: str, place: str = "") -> Entry:
        """The entry called `name`; an unknown one is a RequestError that names the nearest."""
        if name not in self._entries:
            prefix = f"{place}: " if place else ""
            raise RequestError(f"{prefix}unknown module {name!r}{nearest(name, self._entries)}")
        return self._entries[name]


def union(*many: Iterable[Entry]) -> Registry:
    """All of them together; of two entries of one name the later one holds."""
    found = Registry()
    for entry in {entry.name: entry for entries in many for entry in entries}.values():
        found.add(entry)
    return found


_target_registry = Registry()
_origin = BUILTIN


def register(
    name: str,
    *,
    extents: Iterable[Extent] | Literal["any", "power_of_two"] | None = None,
    paper: str | None = None,
    summary: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    reference: Target | None = None,
    probes: Iterable[Mapping[str, Scalar]] = (),
    refuses: Iterable[Mapping[str, Scalar]] = (),
) -> Callable[[T], T]:
    """Register a module under `name`: a class, a function, or an import path "package.module:name".

    The factory is called as `factory(channels, feat_size=(height, width), extent=e, **arguments)`
    (see `Entry.build`) and returns an `nn.Module` that maps NCHW to the same shape.

    extents: what the module takes: a list, "any" or "power_of_two"; None for a module without one.
    paper: where it was published, as "arXiv:1810.12348".
    summary: one line for `list modules`; by default the first line of the docstring.
    arguments: arguments fixed by this name.
    reference: the formula that `verify` holds the module to, or its import path: a function
        `reference(x, state, **arguments)` of an input and the module's state dict, in evaluation.
    probes: sets of arguments that `verify` tries besides the defaults and the extents.
    refuses: sets of arguments for which the constructor has to raise ValueError.

    >>> @register("doctest_only", extents=[2, 4], paper="arXiv:2601.00001")
    ... def build(channels, extent=2):
    ...     "Two extents."
    """

    if not isinstance(name, str) or not re.fullmatch(r"[\w./+-]+", name):
        raise ValueError(f"register: {name!r} is no name (letters, digits and _ . / + - make one)")
    if name == PLAIN:
        raise ValueError(f"register: {name!r} is the name of a backbone without a module")
    if extents is not None and not isinstance(extents, str):
        extents = tuple(extents)
        if wrong := [e for e in extents if e != "global" and type(e) is not int]:
            raise ValueError(
                f"register({name!r}): extent {wrong[0]!r} is no whole number or 'global'"
            )
    elif extents not in (None, "any", "power_of_two"):
        raise ValueError(f"register({name!r}): extents are a list, 'any' or 'power_of_two'")

    def add(target: T) -> T:
        if not callable(target) and not isinstance(target, str):
            raise TypeError(f"register({name!r}) is put above a class or a function")
        line = summary
        if line is None:
            line = "" if isinstance(target, str) else inspect.cleandoc(target.__doc__ or "")
        _target_registry.add(
            Entry(
                name=name,
                target=target,
                extents=extents,
                paper=None if paper is None else str(paper),
                summary=line.partition("\n")[0],
                arguments=dict(arguments or {}),
                origin=_origin,
                reference=reference,
                probes=tuple(dict(probe) for probe in probes),
                refuses=tuple(dict(refused) for refused in refuses),
            )
        )
        return target

    return add


@contextmanager
def registering(registry: Registry, origin: str) -> Iterator[None]:
    """Inside, `register` adds to `registry` in the name of `origin`."""
    global _target_registry, _origin
    before = _target_registry, _origin
    _target_registry, _origin = registry, origin
    try:
        yield
    finally:
        _target_registry, _origin = before


def builtin() -> Registry:
    """The registry of the built-ins; loads none of them."""
    modules = importlib.import_module(BUILTIN_PACKAGE)
    registry = Registry()
    with registering(registry, BUILTIN):
        modules.register_all()
    return registry


def entry_points() -> list[importlib.metadata.EntryPoint]:
    """What installed packages declare in the group `attn_bench.modules`; loads nothing."""
    return list(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))


def code_hash(files: Iterable[str] = ()) -> str:
    """Of the code of all that can be registered: the built-ins, the packages that declare modules,
    by their versions, and `files`. Stored figures hold for the code that they were measured of."""
    folder = MODULES
    content = [path.read_bytes() for path in sorted(folder.glob("*.[pc]*"))]
    content += [Path(file).read_bytes() for file in files]
    for point in entry_points():
        version = point.dist.version if point.dist else "?"
        content.append(f"{point.name} {point.value} {version}".encode())
    return hashlib.sha256(b"\0".join(content)).hexdigest()[:16]


def load_all(files: Iterable[str] = ()) -> Registry:
    """Built-ins, entry points and `files`. Runs the code of the last two: for workers.

    Raises RequestError, with file and line, for a file that raises or registers nothing. An entry
    point that cannot be loaded is registered all the same: whoever asks for it is told why.
    """
    registry = builtin()
    for point in entry_points():
        with registering(registry, f"package {point.dist.name if point.dist else '?'}"):
            _load_entry_point(point, registry)
    for file in files:
        known = len(list(registry))
        with registering(registry, file):
            _load_module(f"attn_bench_user_{Path(file).stem}", Path(file))
        if len(list(registry)) == known:
            raise RequestError(f'{file}: registers no module (@register("name") above a class?)')
    return registry


def load_baseline(registry: Registry, package: str | None, files: Iterable[str]) -> None:
    """Load another version of modules beside the current one, as NAME@base. For workers.

    package: a folder like `modules/`, loaded under a package name of its own, so that its files
    import each other and not the current ones. files: as for `load_all`.
    Raises RequestError for what cannot be loaded.
    """
    baseline = Registry()
    if package is not None:
        with registering(baseline, BUILTIN):
            _load_module(BASELINE_PACKAGE, Path(package, "__init__.py"), [package]).register_all()
    for file in files:
        with registering(baseline, file):
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
    """Where in the file at `path` the error came up; 1 if nowhere in it."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    here = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return (here[-1] if here else None) or 1
