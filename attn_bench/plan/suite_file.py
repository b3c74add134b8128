"""One TOML file -> a checked Suite. Every complaint about what a suite asks for is made here.

A complaint names the file, the line, the table and key, the rule and the nearest right thing:
`my.toml:6: [[grid]] 2, extent: extent 6 is not a power of two (4 or 8?)`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from attn_bench.catalog.networks import Place, backbone, one_spelling
from attn_bench.catalog.registry import Registry
from attn_bench.model.axes import SUITE_AXES
from attn_bench.model.case import (
    LEAST_IMAGE,
    USUAL_IMAGE,
    USUAL_PLACE,
    Network,
    Shape,
    StageExtents,
)
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.metrics import TOLERABLE
from attn_bench.model.paths import SUITES
from attn_bench.model.row import CASE_COLUMNS
from attn_bench.model.suite import USUAL_BASELINE, Aim, Grid, Suite, Tolerance
from attn_bench.model.where import Condition

MOST_ELEMENTS = 2**40


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


T = TypeVar("T")
# A list that may be written as its only element.
Many = Annotated[list[T], BeforeValidator(_as_list), Field(min_length=1)]
Positive = Annotated[int, Field(ge=1, le=10**9, strict=True)]
Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Word = Annotated[str, Field(strict=True, min_length=1)]


def _checked_extent(value: Any) -> Any:
    """An extent, or a list of them: one for each stage of a network."""
    if isinstance(value, list) and value and not any(isinstance(item, list) for item in value):
        return tuple(_checked_extent(item) for item in value)
    if value == "global" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"an extent is a whole number or 'global', not {value!r}")


def _checked_argument(value: Any) -> Any:
    if isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"an argument is a word, a number or true/false, not {value!r}")


def _checked_size(value: Any) -> Any:
    pair = [value, value] if isinstance(value, int) else value
    if isinstance(pair, list) and len(pair) == 2 and all(type(i) is int and i > 0 for i in pair):
        return pair
    raise ValueError(f"a size is a whole number or [height, width], not {value!r}")


def _checked_place(value: str) -> str:
    Place.read(value)
    return value


def _checked_metric(value: str) -> str:
    if value not in TOLERABLE:
        raise ValueError(f"unknown metric {value!r}{nearest(value, TOLERABLE)}")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Grid(_Table):
    module: Many[Word]
    extent: Many[Annotated[Any, BeforeValidator(_checked_extent)]] | None = None
    arguments: dict[str, Many[Annotated[Any, BeforeValidator(_checked_argument)]]] = {}


class _Shapes(_Table):
    batch: Many[Positive] = [1]
    stages: Annotated[list[tuple[Positive, Positive, Positive]], Field(min_length=1)] | None = None
    channels: Many[Positive] | None = None
    size: Many[Annotated[Any, BeforeValidator(_checked_size)]] | None = None

    @model_validator(mode="after")
    def _one_way_of_naming(self) -> _Shapes:
        by_sweep = self.channels is not None and self.size is not None
        if (self.stages is None) != by_sweep or (
            self.stages is not None and (self.channels or self.size)
        ):
            raise ValueError(
                "shapes are named by stages = [[channels, height, width], …], "
                "or by channels = […] and size = […] together"
            )
        return self


class _Tolerance(_Table):
    metric: Annotated[str, AfterValidator(_checked_metric)]
    module: Word = "*"
    fail: Percent | None = None
    warn: Percent | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _Tolerance:
        if self.fail is None and self.warn is None:
            raise ValueError("a tolerance has fail = PERCENT, warn = PERCENT, or both")
        return self


TABLES: dict[str, type[_Table]] = {"grid": _Grid, "shapes": _Shapes, "tolerance": _Tolerance}


# One key for each axis.
_Axes = create_model(
    "_Axes",
    __base__=_Table,
    **{axis.name: (Many[Literal[axis.values]], [axis.usual]) for axis in SUITE_AXES},  # type: ignore
)


class _Suite(_Axes):  # type: ignore[misc, valid-type]
    title: str
    baseline: str = USUAL_BASELINE
    leave_out: Many[Word] | None = None
    budget: Number | None = None
    precision: Annotated[float, Field(gt=0, lt=100)] | None = None
    sessions: Positive | None = None
    timed: Annotated[bool, Field(strict=True)] = True
    tolerance: Annotated[list[_Tolerance], Field(default_factory=list)]
    cases: Literal["published"] | None = None
    backbone: Many[Word] | None = None
    place: Many[Annotated[Word, AfterValidator(_checked_place)]] | None = None
    input: Many[Annotated[Positive, Field(ge=LEAST_IMAGE)]] | None = None
    batch: Many[Positive] | None = None
    grid: Annotated[list[_Grid], Field(min_length=1)] | None = None
    shapes: _Shapes | None = None

    @model_validator(mode="after")
    def _names_its_cases(self) -> _Suite:
        if self.cases is not None:
            if self.grid or self.shapes or self.backbone:
                raise ValueError("cases = 'published' stands instead of grids and shapes")
        elif self.grid is None:
            raise ValueError("grid: it is missing")
        elif self.shapes is None and self.backbone is None:
            raise ValueError("shapes: it is missing (or backbone, for whole networks)")
        given = {"place": self.place, "input": self.input, "batch": self.batch}
        if self.backbone is None and (alone := [key for key in given if given[key] is not None]):
            raise ValueError(f"{alone[0]} is of whole networks, and no backbone is named")
        return self


def available() -> dict[str, str]:
    """The suites that come with the package: name -> title, without checking them."""
    return {
        file.stem: str(tomllib.loads(file.read_text(encoding="utf-8")).get("title", ""))
        for file in sorted(SUITES.glob("*.toml"))
    }


def load(name_or_path: str, registry: Registry) -> Suite:
    """The suite called `name_or_path`, or in that file, checked against what is registered.

    Raises RequestError for an unknown name, an unreadable file or anything wrong inside it.
    """
    try:
        path = _find(name_or_path)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RequestError(f"{name_or_path}: the suite cannot be read: {reason}") from None
    return parse(text, registry, name=path.stem, source=_shown(path))


def parse(text: str, registry: Registry, *, name: str, source: str) -> Suite:
    """A checked Suite from TOML `text`; `source` is what errors call the file."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{source}: not valid TOML: {error}") from None
    except RecursionError:
        raise RequestError(f"{source}: nested too deeply") from None
    try:
        model = _Suite.model_validate(raw)
    except ValidationError as error:
        raise RequestError(_first_complaint(error, text, source)) from None
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
    _check_against(suite, registry, text)
    return suite


def aimed(asked: Suite, aim: Aim | None) -> Suite:
    """`asked` with its variants at what `aim` names. Raises RequestError where they do not fit."""
    if aim is None:
        return asked
    if asked.published:
        raise RequestError(f"{asked.source}: has whole networks, and no modules to choose from")
    for shape in (*aim.shapes, *aim.images):
        if shape.elements > MOST_ELEMENTS:
            raise RequestError(f"{shape} is no input that fits")
    moved = replace(
        asked,
        name=aim.name,
        baseline=USUAL_BASELINE,
        shapes=aim.shapes,
        networks=aim.networks,
        images=aim.images,
        axes={**asked.axes, "mode": (aim.mode,)} if aim.mode else asked.axes,
    )
    for grid in moved.grids:
        for extent in grid.extents or ():
            if isinstance(extent, tuple) and (problem := _stages_problem(extent, moved)):
                raise RequestError(f"{asked.source}: {problem}")
    return moved


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _shapes(model: _Shapes) -> tuple[Shape, ...]:
    stages: Sequence[Sequence[int]] = model.stages or [
        (channels, *size) for channels, size in product(model.channels or [], model.size or [])
    ]
    return tuple(Shape(batch, c, h, w) for batch in model.batch for c, h, w in stages)


def _check_against(suite: Suite, registry: Registry, text: str) -> None:
    """What a schema cannot know: names, the extents of modules and maps, conditions."""

    def place(table: str, number: int | None, key: str) -> str:
        line = _line_of(text, table, number, key)
        where = f"[[{table}]] {number}, " if number is not None else ""
        return f"{suite.source}:{line}: {where}{key}" if line else f"{suite.source}: {where}{key}"

    labels = {variant.label for grid in suite.grids for variant in grid.variants()}
    if suite.baseline not in labels:
        registry.get(suite.baseline, place("", None, "baseline"))
    for shape, (table, key) in [
        *((shape, ("shapes", "stages")) for shape in suite.shapes),
        *((shape, ("", "input")) for shape in suite.images),
    ]:
        if shape.elements > MOST_ELEMENTS:
            raise RequestError(f"{place(table, None, key)}: {shape} is no input that fits")
    for network in suite.networks:
        backbone(network.backbone, place("", None, "backbone"))
        if problem := Place.read(network.place).problem_in(network.backbone):
            raise RequestError(f"{place('', None, 'place')}: {problem}")
    largest = max((max(s.height, s.width) for s in (*suite.shapes, *suite.images)), default=0)
    for number, grid in enumerate(suite.grids, start=1):
        for name in grid.modules:
            entry = registry.get(name, place("grid", number, "module"))
            for written in grid.extents or ():
                problem = _stages_problem(written, suite) if isinstance(written, tuple) else None
                for extent in written if isinstance(written, tuple) else (written,):
                    problem = problem or entry.extent_problem(extent)
                    if problem is None and isinstance(extent, int) and extent > largest:
                        problem = (
                            f"extent {extent} is larger than every map of the suite "
                            f"(the largest side is {largest})"
                        )
                if problem:
                    raise RequestError(f"{place('grid', number, 'extent')}: {problem}")
    for rule in suite.leave_out:
        Condition(rule, CASE_COLUMNS, place("", None, "leave_out"))


def _stages_problem(extents: StageExtents, suite: Suite) -> str | None:
    """Why there cannot be one extent for each stage; None if there can."""
    if suite.shapes:
        return "a list in the list is one extent for each stage of a network, and there are shapes"
    for network in suite.networks:
        stages = backbone(network.backbone).stages
        if len(extents) != stages:
            return f"{len(extents)} extents, and {network.backbone} has {stages} stages"
    return None


def _find(name_or_path: str) -> Path:
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = Path(name_or_path)
        if not path.exists():
            raise RequestError(f"{name_or_path}: there is no such suite file")
        return path
    path = SUITES / f"{name_or_path}.toml"
    if not path.exists():
        known = available()
        raise RequestError(f"unknown suite {name_or_path!r}{nearest(name_or_path, known)}")
    return path


def _shown(path: Path) -> str:
    """`suites/NAME.toml` for our own; the path as it was given for others."""
    return f"suites/{path.name}" if path.parent == SUITES else str(path)


def _first_complaint(error: ValidationError, text: str, source: str) -> str:
    problems = error.errors()
    first = problems[0]
    steps = [step for step in first["loc"] if not str(step).startswith(("function-", "list["))]
    table, number, key = "", None, str(steps[-1]) if steps else ""
    if steps and steps[0] in TABLES and len(steps) > 1 and isinstance(steps[1], int):
        table, number = str(steps[0]), steps[1] + 1
        key = next((str(step) for step in steps[2:] if isinstance(step, str)), "")
        where = f"[[{table}]] {number}"
    elif steps and steps[0] == "shapes" and len(steps) > 1:
        table, where = "shapes", "[shapes]"
        key = str(steps[1])
    else:
        where, key = "", str(steps[0]) if steps else ""
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        key = str(steps[-1])
        known = TABLES.get(table, _Suite).model_fields
        reason = f"unknown key {key!r}{nearest(key, known)}"
        label = where
    else:
        if first["type"] == "missing" and key != "stages":
            reason = "it is missing"
        elif first["type"] == "too_short":
            reason = "it is empty"
        elif key == "stages":
            reason = "a stage is [channels, height, width], each a whole number from 1"
        elif key in ("grid", "tolerance") and isinstance(first["input"], dict):
            reason = f"a {key} is written [[{key}]], with two brackets"
        elif first["type"] == "model_type":
            reason = f"a table is wanted, not {type(first['input']).__name__}"
        elif "got" not in reason and "not" not in reason and not isinstance(first["input"], dict):
            reason = f"{reason[0].lower()}{reason[1:]}, not {first['input']!r}"
        label = ", ".join(part for part in (where, key) if part)
    line = _line_of(text, table, number, key)
    place = f"{source}:{line}" if line else source
    more = len({item["loc"][:3] for item in problems}) - 1
    tail = f" (and {more} more)" if more > 0 else ""
    return f"{place}: {label}: {reason}{tail}" if label else f"{place}: {reason}{tail}"


def _line_of(text: str, table: str, number: int | None, key: str) -> int | None:
    """The line of `key` in the `number`-th `[[table]]` (or in `[table]`, or above all tables)."""
    current, seen, header = "", 0, None
    for line_number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[+\s*([\w.]+)\s*\]+", line):
            current = match[1]
            seen += current == table
            if current == table and seen == (number or 1):
                header = line_number
        inside = current == table and (not table or seen == (number or 1))
        if inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return line_number
        if key and current == key and not table:
            return line_number
    return header
