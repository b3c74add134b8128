"""The registered modules by name: the only way to the modules under test.

Modules come from three sources: the built-ins of `attn_bench.modules`, installed packages that
declare the entry point group `attn_bench.modules`, and files named with `--modules-from`. All
sources use the same decorator. The built-ins register by import path, which loads nothing, so a
process without torch can list them. The code of the other two runs in workers only (`loading`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from attn_bench.model.case import PLAIN, Extent, Scalar
from attn_bench.model.entry import BUILTIN as BUILTIN
from attn_bench.model.entry import Description
from attn_bench.model.entry import Extents as Extents
from attn_bench.model.errors import RequestError, nearest

ENTRY_POINT_GROUP = "attn_bench.modules"
BUILTIN_PACKAGE = "attn_bench.modules"


Target = Callable[..., Any] | str
T = TypeVar("T", bound=Target)


@dataclass(frozen=True)
class Entry(Description):
    """A registered module: its description, and where its code is.

    target: the factory or its import path; empty if only a worker has the code.
    arguments: arguments of every call of the factory.
    reference: the formula that `verify` compares with, or its import path.
    """

    target: Target = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reference: Target | None = None

    @classmethod
    def of(cls, description: Description) -> Entry:
        """The entry of a module whose code is in a worker only."""
        return cls(**{item.name: getattr(description, item.name) for item in fields(Description)})

    @property
    def description(self) -> Description:
        """The description, without the code, for other processes."""
        return Description(**{item.name: getattr(self, item.name) for item in fields(Description)})

    def factory(self) -> Callable[..., Any]:
        """The factory, imported. The import loads torch, so only workers call this."""
        return _import(self.target)

    def formula(self) -> Callable[..., Any] | None:
        """The formula that `verify` compares with, imported; None if none is registered."""
        return None if self.reference is None else _import(self.reference)

    def build(
        self, channels: int, feat_size: tuple[int, int], extent: Extent | None, **arguments: Any
    ) -> Any:
        """An instance for maps of `channels` × `feat_size`; raises whatever the constructor raises.

        `feat_size` is passed only if the factory has this parameter. A global extent is passed as
        0, as in timm.
        """
        factory = self.factory()
        parameters = inspect.signature(factory).parameters
        given = {**self.arguments, **arguments}
        if "feat_size" in parameters:
            given.setdefault("feat_size", feat_size)
        if extent is not None:
            given["extent"] = 0 if extent == "global" else extent
        return factory(channels, **given)


def _import(target: Target) -> Callable[..., Any]:
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


class Registry:
    """Entries by name, in the order of registration. Each name belongs to one entry."""

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
        """The entry called `name`. Raises RequestError, with the nearest name, if it is unknown."""
        if name not in self._entries:
            prefix = f"{place}: " if place else ""
            only_builtin = all(entry.origin == BUILTIN for entry in self)
            own = "; a module of your own needs --modules-from FILE.py" if only_builtin else ""
            raise RequestError(
                f"{prefix}unknown module {name!r}{nearest(name, self._entries)}{own}"
            )
        return self._entries[name]


def union(*many: Iterable[Entry]) -> Registry:
    """One registry of all entries. If two entries have one name, the later one counts."""
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

    extents: the valid extents: a list, "any" or "power_of_two"; None for a module without extents.
        The factory gets a global extent as 0.
    paper: the paper that published it, as "arXiv:1810.12348".
    summary: one line for `list modules`; by default the first line of the docstring.
    arguments: arguments that this name fixes.
    reference: the formula that `verify` compares with, or its import path: a function
        `reference(x, state, **arguments)` of an input and the module's state dict, in evaluation.
    probes: sets of arguments that `verify` tries besides the defaults and the extents.
    refuses: sets of arguments for which the constructor must raise ValueError.

    >>> @register("doctest_only", extents=[2, 4], paper="arXiv:2601.00001")
    ... def build(channels, extent=2):
    ...     "Two extents."
    """
    _check_name(name)
    extents = _check_extents(name, extents)

    def add(target: T) -> T:
        if not callable(target) and not isinstance(target, str):
            raise TypeError(f"register({name!r}) must stand above a class or a function")
        _target_registry.add(
            Entry(
                name=name,
                target=target,
                extents=extents,
                paper=None if paper is None else str(paper),
                summary=_first_line(target) if summary is None else summary.partition("\n")[0],
                arguments=dict(arguments or {}),
                origin=_origin,
                reference=reference,
                probes=tuple(dict(probe) for probe in probes),
                refuses=tuple(dict(refused) for refused in refuses),
                has_formula=reference is not None,
            )
        )
        return target

    return add


def _first_line(target: Target) -> str:
    """The first line of the docstring of `target`; empty for an import path."""
    docstring = "" if isinstance(target, str) else inspect.cleandoc(target.__doc__ or "")
    return docstring.partition("\n")[0]


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[\w./+-]+", name):
        raise ValueError(f"register: {name!r} is not a valid name (use letters, digits, _ . / + -)")
    if name == PLAIN:
        raise ValueError(f"register: the name {name!r} is reserved for backbones without a module")


def _check_extents(
    name: str, extents: Iterable[Extent] | Literal["any", "power_of_two"] | None
) -> Extents | None:
    if extents is None or extents == "any" or extents == "power_of_two":
        return extents
    if isinstance(extents, str):
        raise ValueError(f"register({name!r}): extents must be a list, 'any' or 'power_of_two'")
    listed = tuple(extents)
    if wrong := [e for e in listed if e != "global" and type(e) is not int]:
        raise ValueError(
            f"register({name!r}): extent {wrong[0]!r} is neither a whole number nor 'global'"
        )
    return listed


@contextmanager
def register_into(registry: Registry, origin: str) -> Iterator[None]:
    """Inside this context, `register` adds entries of `origin` to `registry`."""
    global _target_registry, _origin
    before = _target_registry, _origin
    _target_registry, _origin = registry, origin
    try:
        yield
    finally:
        _target_registry, _origin = before


def builtin() -> Registry:
    """The registry of the built-ins. Loads none of their code."""
    modules = importlib.import_module(BUILTIN_PACKAGE)
    registry = Registry()
    with register_into(registry, BUILTIN):
        modules.register_all()
    return registry


def entry_points() -> list[importlib.metadata.EntryPoint]:
    """The entry points of installed packages in the group `attn_bench.modules`. Loads nothing."""
    return list(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))
