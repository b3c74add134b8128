"""Rows and blocks as data frames, for Parquet and for notebooks."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from attn_bench.model.bounds import MOST_BYTES
from attn_bench.model.errors import LONGEST_REASON, RequestError
from attn_bench.model.row import Row
from attn_bench.model.run import Block
from attn_bench.model.text import printable
from attn_bench.store.reading import read_bytes


def table_frame(rows: Iterable[Row]) -> Any:
    """A data frame of rows; an unknown figure is NA."""
    return _typed_frame([asdict(row) for row in rows], Row)


def samples_frame(blocks: Iterable[Block]) -> Any:
    """A data frame of blocks."""
    return _typed_frame([asdict(block) for block in blocks], Block)


def _typed_frame(records: list[dict[str, Any]], kind: type[Row] | type[Block]) -> Any:
    """A data frame in which each column has one type, even with missing values; extent is text."""
    import pandas as pd

    types: dict[type, str] = {str: "string", int: "Int64", float: "Float64", bool: "boolean"}
    # As objects: pandas would turn a column of integers and gaps into floats.
    names = [item.name for item in fields(kind)]
    frame: Any = pd.DataFrame(records, columns=names, dtype=object)
    declared = get_type_hints(kind)
    for name in names:
        # The first of the types, as int of `int | None`; an extent has two.
        first, *others = get_args(declared[name]) or (declared[name],)
        if first in types and set(others) <= {NoneType}:
            frame[name] = frame[name].astype(types[first])
        else:
            frame[name] = frame[name].map(str, na_action="ignore").astype("string")
    return frame


def read_parquet(file: Path, most_rows: int) -> Any:
    """The data frame of a Parquet file. Raises RequestError for a damaged or a larger one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = read_bytes(file)
    try:
        reader = pq.ParquetFile(io.BytesIO(content))
        facts = reader.metadata
        groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
        if facts.num_rows > most_rows or sum(g.total_byte_size for g in groups) > MOST_BYTES:
            raise RequestError(f"{file}: cannot be read: it is larger than any run's")
        if len({*(names := reader.schema_arrow.names)}) < len(names):
            raise RequestError(f"{file}: two of its columns have the same name")
        return reader.read().to_pandas(ignore_metadata=True, types_mapper=_pandas_type)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        reason = printable((str(error).splitlines() or [""])[0][:LONGEST_REASON])
        raise RequestError(f"{file}: is damaged, or is not Parquet ({reason})") from None


def _pandas_type(kind: Any) -> Any:
    """Types with gaps, so that whole numbers beside a gap stay whole."""
    import pandas as pd
    import pyarrow as pa

    kinds = {
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(),
    }
    return kinds.get(kind)


def as_records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a data frame; a gap is None."""
    frame = frame.astype(object)
    records: list[dict[str, Any]] = frame.where(frame.notna(), None).to_dict("records")
    return records
