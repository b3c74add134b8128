"""Reads a TOML file into a checked Suite."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

from pydantic import (
    ValidationError,
)

from attn_bench.catalog.backbones import one_spelling
from attn_bench.catalog.registry import Registry
from attn_bench.model.axes import SUITE_AXES
from attn_bench.model.bounds import MOST_ELEMENTS
from attn_bench.model.case import (
    USUAL_IMAGE,
    USUAL_PLACE,
    Network,
    Shape,
)
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.paths import SUITES
from attn_bench.model.suite import USUAL_BASELINE, Aim, Grid, Suite, Tolerance
from attn_bench.plan.complaints import check_against, complain_of, stages_problem
from attn_bench.plan.schema import ShapesTable, SuiteTable


def available() -> dict[str, str]:
    """The suites of the package, unchecked: name -> title."""
    return {
        file.stem: str(tomllib.loads(file.read_text(encoding="utf-8")).get("title", ""))
        for file in sorted(SUITES.glob("*.toml"))
    }


def load(name_or_path: str, registry: Registry | None) -> Suite:
    """Read a suite by its name or its file, and check it against the registered modules.

    registry: None if they are not known yet; their names and extents are not checked then.
    Raises RequestError for an unknown name, an unreadable file or an error in the file.
    """
    try:
        path = _find(name_or_path)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RequestError(f"{name_or_path}: the suite cannot be read: {reason}") from None
    return parse(text, registry, name=path.stem, source=_shown(path))


def parse(text: str, registry: Registry | None, *, name: str, source: str) -> Suite:
    """A checked Suite from TOML `text`; errors call the file `source`."""
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise RequestError(f"{source}: not valid TOML: {reason}") from None
    try:
        model = SuiteTable.model_validate(raw)
    except ValidationError as error:
        raise RequestError(complain_of(error, text, source)) from None
    suite = Suite(
        name=name,
        title=model.title,
        source=source,
        grids=tuple(
            Grid(
                modules=tuple(grid.module),
                extents=None if grid.extent is None else tuple(grid.extent),
                arguments=tuple((key, tuple(many)) for key, many in grid.arguments.items()),
            )
            for grid in model.grid or ()
        ),
        shapes=_shapes(model.shapes) if model.shapes else (),
        baseline=model.baseline,
        axes={axis.name: tuple(getattr(model, axis.name)) for axis in SUITE_AXES},
        leave_out=tuple(model.leave_out or ()),
        budget_s=model.budget,
        precision=_fraction(model.precision),
        sessions=model.sessions,
        tolerances=tuple(
            Tolerance(t.metric, t.module, _fraction(t.fail), _fraction(t.warn))
            for t in model.tolerance
        ),
        networks=tuple(
            Network(name, one_spelling(place, name))
            for name, place in product(model.backbone or (), model.place or (USUAL_PLACE,))
        ),
        images=tuple(
            Shape(batch, 3, side, side)
            for batch, side in product(model.batch or (1,), model.input or (USUAL_IMAGE,))
        )
        if model.backbone
        else (),
        published=model.cases == "published",
        timed=model.timed,
    )
    if registry is not None:
        suite = replace(suite, grids=tuple(_expand(grid, registry) for grid in suite.grids))
    check_against(suite, registry, text)
    return suite


def _expand(grid: Grid, registry: Registry) -> Grid:
    """`grid` with the names of all modules that its globs match; one without a match stays."""
    names: dict[str, None] = {}
    for word in grid.modules:
        found = [entry.name for entry in registry if fnmatchcase(entry.name, word)]
        names.update(dict.fromkeys(found or [word]))
    return replace(grid, modules=tuple(names))


def aim_suite(suite: Suite, aim: Aim | None) -> Suite:
    """`suite` with the shapes or networks of `aim`. Raises RequestError if a variant cannot fit."""
    if aim is None:
        return suite
    if suite.published:
        raise RequestError(
            f"{suite.source}: this suite has whole networks but no modules to choose from"
        )
    aimed = {"mode": aim.modes, "execution": aim.executions}
    for shape in (*aim.shapes, *aim.images):
        if shape.elements > MOST_ELEMENTS:
            raise RequestError(f"input {shape} is too large (more than 2^40 elements)")
    moved = replace(
        suite,
        name=aim.name,
        grids=(*suite.grids, Grid(aim.also)) if aim.also else suite.grids,
        baseline=USUAL_BASELINE,
        shapes=aim.shapes,
        networks=aim.networks,
        images=aim.images,
        axes={**suite.axes, **{name: values for name, values in aimed.items() if values}},
    )
    for grid in moved.grids:
        for extent in grid.extents or ():
            if isinstance(extent, tuple) and (problem := stages_problem(extent, moved)):
                raise RequestError(f"{suite.source}: {problem}")
    return moved


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _shapes(model: ShapesTable) -> tuple[Shape, ...]:
    stages: Sequence[Sequence[int]] = model.stages or [
        (channels, *size) for channels, size in product(model.channels or [], model.size or [])
    ]
    return tuple(Shape(batch, c, h, w) for batch in model.batch for c, h, w in stages)


def _find(name_or_path: str) -> Path:
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = Path(name_or_path)
        if not path.exists():
            raise RequestError(f"{name_or_path}: suite file not found")
        return path
    path = SUITES / f"{name_or_path}.toml"
    if not path.exists():
        known = available()
        raise RequestError(f"unknown suite {name_or_path!r}{nearest(name_or_path, known)}")
    return path


def _shown(path: Path) -> str:
    """The name of a suite file in errors: `suites/NAME.toml` for ours, else the path as typed."""
    return f"suites/{path.name}" if path.parent == SUITES else str(path)
