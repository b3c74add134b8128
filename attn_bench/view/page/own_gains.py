"""The gains that an author measured herself, from a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from attn_bench.model.errors import RequestError
from attn_bench.store.reading import read_bytes

COLUMNS = ("variant", "gain")
MOST = 100  # points of top-1


def read_gains(file: Path) -> Mapping[str, float]:
    """The gain of each variant, in points of top-1 over the plain network of the same training.

    The file has the columns `variant` (`my_gate(extent=4)`) and `gain` (`1.2`).
    Raises RequestError with the line if it cannot be read.
    """
    try:
        text = read_bytes(file).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        headings = reader.fieldnames or ()
        for name in COLUMNS:
            if list(headings).count(name) != 1:
                raise RequestError(f"{file}:1: must have one column {name!r}: variant,gain")
        found: dict[str, float] = {}
        for line in reader:
            place = f"{file}:{reader.line_num}"
            if line.get(None) is not None:
                raise RequestError(f"{place}: more cells than the heading has (write 1.5, not 1,5)")
            variant, gain = (str(line[name] or "").strip() for name in COLUMNS)
            if not variant or variant in found:
                what = f"{variant!r} is there twice" if variant else "the variant is missing"
                raise RequestError(f"{place}: {what}")
            found[variant] = _points(gain, place)
        return found
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{file}: cannot be read as CSV: {error}") from None


def _points(text: str, place: str) -> float:
    try:
        points = float(text) if "_" not in text else math.nan
    except ValueError:
        points = math.nan
    if not abs(points) <= MOST:
        raise RequestError(f"{place}: gain {text!r} must be points of top-1, such as 1.2")
    return points
