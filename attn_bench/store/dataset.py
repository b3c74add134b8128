"""Reads one figure of every case from the tables of many runs, which together are one data set."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attn_bench.model.bounds import LONGEST_TEXT, MOST_CASES
from attn_bench.model.case import BASELINE
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Metric
from attn_bench.model.row import KEY_COLUMNS, LARGEST, SMALLEST, Keys
from attn_bench.model.text import printable
from attn_bench.store import info as run_json
from attn_bench.store.keys import keys_of
from attn_bench.store.reading import read_bytes

TABLE = "table.parquet"
NAMES = ("case_id", "module")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of one case in one run; an exact one has no interval around its value.

    baseline: the modules to which the ratios of the run are; empty for another figure.
    """

    keys: Keys
    case_id: str
    module: str
    value: float
    lo: float
    hi: float
    baseline: str = ""


def read_figures(folder: Path, metric: Metric, skipped: list[str]) -> Iterator[Figure]:
    """The known figures of `metric` in all runs of `folder`.

    Of a check, these are the current version's exact metrics, and its ratio to another commit:
    `against` of its keys is that commit.
    skipped: takes a sentence for each run that cannot be read.
    """
    for file in sorted(folder.glob(f"*/{TABLE}")):
        try:
            yield from _read(file, metric)
        except RequestError as error:
            skipped.append(str(error))


def _read(file: Path, metric: Metric) -> list[Figure]:
    """Raises RequestError if the table is damaged."""
    ends = [name for name in (metric.lo, metric.hi) if name is not None]
    columns = _columns(file, (*NAMES, metric.name, *ends, *KEY_COLUMNS))
    if metric.name not in columns:
        return []
    is_check = any(str(module).endswith(BASELINE) for module in columns["module"])
    records = [
        dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
    ]
    known = [
        record
        for record in records
        if record[metric.name] is not None and not str(record["module"]).endswith(BASELINE)
    ]
    if not known:
        return []
    keys = _keys(file, known[0])
    if is_check and metric.kind != "exact" and (metric.name != "ratio" or not keys.against):
        return []
    if not is_check or metric.kind == "exact":
        keys = replace(keys, against=None)
    baseline = "" if is_check or metric.name != "ratio" else _find_baseline(known)
    return [replace(_figure(file, record, metric, keys), baseline=baseline) for record in known]


def _find_baseline(records: Sequence[Mapping[str, Any]]) -> str:
    """The modules whose ratio is exactly 1."""
    ratios = ("ratio", "ratio_lo", "ratio_hi")
    return ", ".join(
        sorted({str(r["module"]) for r in records if {r.get(n) for n in ratios} == {1}})
    )


def _columns(file: Path, names: Sequence[str]) -> Mapping[str, list[Any]]:
    """Those of the columns that the table has. Raises RequestError if it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = read_bytes(file)
    try:
        reader = pq.ParquetFile(io.BytesIO(content))
        if reader.metadata.num_rows > MOST_CASES:
            raise RequestError(f"{file}: cannot be read: it is larger than any run's")
        present = set(reader.schema_arrow.names)
        for name in NAMES:
            if name not in present:
                raise RequestError(f"{file}: the column {name!r} of a run's table is missing")
        found: Mapping[str, list[Any]] = reader.read(
            [name for name in names if name in present], use_threads=False
        ).to_pydict()
    except (OSError, ValueError, TypeError, KeyError, ArithmeticError, pa.ArrowException) as error:
        reason = printable((str(error).splitlines() or [""])[0])
        raise RequestError(f"{file}: is damaged, or is not Parquet ({reason})") from None
    return found


def _keys(file: Path, record: Mapping[str, Any]) -> Keys:
    """The keys of the run: of its first row, or, in a table without them, of its run.json."""
    if record.get("run") is None:
        try:
            return keys_of(file.parent.name, run_json.read(file.parent))
        except RequestError as error:
            raise RequestError(f"{file}: its rows have no keys, and {error}") from None
    words = {
        name: None if record.get(name) is None else _text(file, record[name])
        for name in KEY_COLUMNS
        if name != "dirty"
    }
    return Keys(**words, dirty=bool(record["dirty"]) if record.get("dirty") is not None else None)


def _figure(file: Path, record: Mapping[str, Any], metric: Metric, keys: Keys) -> Figure:
    """Raises RequestError for numbers that no run writes."""
    names = [name for name in (metric.name, metric.lo, metric.hi) if name is not None]
    numbers = [record.get(name) for name in names]
    if not all(isinstance(n, int | float) and 0 <= n <= LARGEST for n in numbers):
        raise RequestError(f"{file}: {metric.name} cannot be {numbers}")
    value, lo, hi = map(float, numbers if len(numbers) == 3 else numbers * 3)  # type: ignore[arg-type]
    if not lo <= value <= hi or (len(numbers) == 3 and value < SMALLEST):
        raise RequestError(f"{file}: {metric.name} cannot be {value} between {lo} and {hi}")
    case_id, module = (_text(file, record[name]) for name in NAMES)
    return Figure(keys, case_id, module, value, lo, hi)


def _text(file: Path, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise RequestError(f"{file}: a text of it cannot be read")
    return printable(value)
