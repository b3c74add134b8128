"""Finds errors in a suite file and reports them.

An error names the file, the line, the table, the key, the rule and the nearest valid value:
`my.toml:6: [[grid]] 2, extent: extent 6 is not a power of two (4 or 8?)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from attn_bench.catalog.backbones import Place, backbone
from attn_bench.catalog.registry import Entry, Registry
from attn_bench.model.bounds import MOST_ELEMENTS
from attn_bench.model.case import Extent, StageExtents
from attn_bench.model.condition import Condition
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.row import CASE_COLUMNS
from attn_bench.model.suite import Suite
from attn_bench.plan.schema import TABLES, SuiteTable

RENAMED = {"anchor": "baseline"}


def check_against(suite: Suite, registry: Registry | None, text: str) -> None:
    """Check what a schema cannot check: names, the extents of modules and maps, conditions.

    registry: None leaves out the modules.
    Raises RequestError for the first error.
    """
    place = KeyLocator(suite.source, text)
    for shapes, table, key in ((suite.shapes, "shapes", "stages"), (suite.images, "", "input")):
        for shape in shapes:
            if shape.elements > MOST_ELEMENTS:
                at = place(table, None, key)
                raise RequestError(f"{at}: input {shape} is too large (more than 2^40 elements)")
    for network in suite.networks:
        backbone(network.backbone, place("", None, "backbone"))
        if problem := Place.read(network.place).problem_in(network.backbone):
            raise RequestError(f"{place('', None, 'place')}: {problem}")
    if registry is not None:
        _check_modules(suite, registry, place)
    for rule in suite.leave_out:
        Condition(rule, CASE_COLUMNS, place("", None, "leave_out"))


def _check_modules(suite: Suite, registry: Registry, place: KeyLocator) -> None:
    """Raise RequestError for an unknown module, or an extent that it cannot have here."""
    labels = {variant.label for grid in suite.grids for variant in grid.variants()}
    if suite.baseline not in labels:
        registry.get(suite.baseline, place("", None, "baseline"))
    for number, grid in enumerate(suite.grids, start=1):
        for name in grid.modules:
            entry = registry.get(name, place("grid", number, "module"))
            for written in grid.extents or ():
                if problem := _extent_problem(entry, written, suite):
                    raise RequestError(f"{place('grid', number, 'extent')}: {problem}")


@dataclass(frozen=True)
class KeyLocator:
    """Names the place of a key in a suite file."""

    source: str
    text: str

    def __call__(self, table: str, number: int | None, key: str) -> str:
        line = _line_of(self.text, table, number, key)
        where = f"[[{table}]] {number}, " if number is not None else ""
        return f"{self.source}:{line}: {where}{key}" if line else f"{self.source}: {where}{key}"


def _extent_problem(entry: Entry, written: Extent | StageExtents, suite: Suite) -> str | None:
    """Why the suite cannot measure the module with that extent; None if it can."""
    if isinstance(written, tuple) and (problem := stages_problem(written, suite)):
        return problem
    largest = max((max(s.height, s.width) for s in (*suite.shapes, *suite.images)), default=0)
    for extent in written if isinstance(written, tuple) else (written,):
        if problem := entry.extent_problem(extent):
            return problem
        if isinstance(extent, int) and extent > largest:
            return (
                f"extent {extent} is larger than every map of the suite "
                f"(the largest side is {largest})"
            )
    return None


def stages_problem(extents: StageExtents, suite: Suite) -> str | None:
    """Why `extents` cannot give one extent for each stage; None if they can."""
    if suite.shapes:
        return "a nested list is one extent for each stage of a network, but this suite has shapes"
    for network in suite.networks:
        stages = backbone(network.backbone).stages
        if stages is not None and len(extents) != stages:
            return f"{len(extents)} extents, but {network.backbone} has {stages} stages"
    return None


def complain_of(error: ValidationError, text: str, source: str) -> str:
    """The first error that the schema finds, in one line."""
    problems = error.errors()
    first = problems[0]
    table, number, key = _where_in(first)
    where = f"[[{table}]] {number}" if number is not None else f"[{table}]" if table else ""
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        known = TABLES.get(table, SuiteTable).model_fields
        renamed = f" (it is now {RENAMED[key]!r})" if key in RENAMED else nearest(key, known)
        label, reason = where, f"unknown key {key!r}{renamed}"
    else:
        label = ", ".join(part for part in (where, key) if part)
        reason = _reason(first, key)
    line = _line_of(text, table, number, key)
    place = f"{source}:{line}" if line else source
    more = len({item["loc"][:3] for item in problems}) - 1
    tail = f" (and {more} more)" if more > 0 else ""
    return f"{place}: {label}: {reason}{tail}" if label else f"{place}: {reason}{tail}"


def _where_in(problem: ErrorDetails) -> tuple[str, int | None, str]:
    """The table, its number (the first is 1), and the key."""
    steps = [step for step in problem["loc"] if not str(step).startswith(("function-", "list["))]
    if len(steps) > 1 and steps[0] in TABLES and isinstance(steps[1], int):
        key = next((str(step) for step in steps[2:] if isinstance(step, str)), "")
        return str(steps[0]), steps[1] + 1, key
    if len(steps) > 1 and steps[0] == "shapes":
        return "shapes", None, str(steps[1])
    return "", None, str(steps[0]) if steps else ""


def _reason(problem: ErrorDetails, key: str) -> str:
    reason, given = problem["msg"].removeprefix("Value error, "), problem["input"]
    if problem["type"] == "missing" and key != "stages":
        return "is missing"
    if problem["type"] == "too_short":
        return "is empty"
    if key == "stages":
        return "a stage is [channels, height, width], each a whole number from 1"
    if key in ("grid", "tolerance") and isinstance(given, dict):
        return f"write [[{key}]], with two brackets"
    if problem["type"] == "model_type":
        return f"must be a table, not {type(given).__name__}"
    if reason.startswith("Input should be "):
        reason = f"must be {reason.removeprefix('Input should be ')}"
    if "got" not in reason and "not" not in reason and not isinstance(given, dict):
        return f"{reason[0].lower()}{reason[1:]}, not {given!r}"
    return reason


def _line_of(text: str, table: str, number: int | None, key: str) -> int | None:
    """The line of `key` in `[[table]]` number `number`, in `[table]`, or above all tables."""
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
