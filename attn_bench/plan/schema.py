"""The keys of a suite file and their values, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    model_validator,
)

from attn_bench.catalog.backbones import Place
from attn_bench.model.axes import SUITE_AXES
from attn_bench.model.bounds import Seconds, Sessions, Size, Title
from attn_bench.model.case import LEAST_IMAGE
from attn_bench.model.errors import nearest
from attn_bench.model.metrics import TOLERABLE
from attn_bench.model.suite import USUAL_BASELINE
from attn_bench.model.text import printable


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


T = TypeVar("T")
# A list; a list of one element may be written as the element.
Many = Annotated[list[T], BeforeValidator(_as_list), Field(min_length=1)]
Positive = Annotated[Size, Field(strict=True)]
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


class GridTable(_Table):
    module: Many[Word]
    extent: Many[Annotated[Any, BeforeValidator(_checked_extent)]] | None = None
    arguments: dict[str, Many[Annotated[Any, BeforeValidator(_checked_argument)]]] = {}


class ShapesTable(_Table):
    batch: Many[Positive] = [1]
    stages: Annotated[list[tuple[Positive, Positive, Positive]], Field(min_length=1)] | None = None
    channels: Many[Positive] | None = None
    size: Many[Annotated[Any, BeforeValidator(_checked_size)]] | None = None

    @model_validator(mode="after")
    def _one_way_of_naming(self) -> ShapesTable:
        by_sweep = self.channels is not None and self.size is not None
        if (self.stages is None) != by_sweep or (
            self.stages is not None and (self.channels or self.size)
        ):
            raise ValueError(
                "must have either stages = [[channels, height, width], …], "
                "or both channels = […] and size = […]"
            )
        return self


class ToleranceTable(_Table):
    metric: Annotated[str, AfterValidator(_checked_metric)]
    module: Word = "*"
    fail: Percent | None = None
    warn: Percent | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ToleranceTable:
        if self.fail is None and self.warn is None:
            raise ValueError("a tolerance needs fail = PERCENT, warn = PERCENT, or both")
        return self


TABLES: dict[str, type[_Table]] = {
    "grid": GridTable,
    "shapes": ShapesTable,
    "tolerance": ToleranceTable,
}


# One key for each axis.
AxesTable = create_model(
    "AxesTable",
    __base__=_Table,
    **{axis.name: (Many[Literal[axis.values]], [axis.usual]) for axis in SUITE_AXES},  # type: ignore
)


class SuiteTable(AxesTable):  # type: ignore[misc, valid-type]
    title: Annotated[Title, AfterValidator(printable)]
    baseline: str = USUAL_BASELINE
    leave_out: Many[Word] | None = None
    budget: Seconds | None = None
    precision: Annotated[float, Field(gt=0, lt=100)] | None = None
    sessions: Annotated[Sessions, Field(strict=True)] | None = None
    timed: Annotated[bool, Field(strict=True)] = True
    tolerance: Annotated[list[ToleranceTable], Field(default_factory=list)]
    cases: Literal["published"] | None = None
    backbone: Many[Word] | None = None
    place: Many[Annotated[Word, AfterValidator(_checked_place)]] | None = None
    input: Many[Annotated[Positive, Field(ge=LEAST_IMAGE)]] | None = None
    batch: Many[Positive] | None = None
    grid: Annotated[list[GridTable], Field(min_length=1)] | None = None
    shapes: ShapesTable | None = None

    @model_validator(mode="after")
    def _names_its_cases(self) -> SuiteTable:
        if self.cases is not None:
            if self.grid or self.shapes or self.backbone:
                raise ValueError("cases = 'published' replaces grids and shapes: remove them")
        elif self.grid is None:
            raise ValueError("grid: is missing")
        elif self.shapes is None and self.backbone is None:
            raise ValueError("shapes: is missing (or backbone, for whole networks)")
        given = {"place": self.place, "input": self.input, "batch": self.batch}
        if self.backbone is None and (alone := [key for key in given if given[key] is not None]):
            raise ValueError(f"{alone[0]} needs a backbone, because it applies to whole networks")
        return self
