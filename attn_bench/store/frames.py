"""Rows and blocks as data frames, for Parquet and for notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from attn_bench.model.row import Row
from attn_bench.model.run import Block


def table_frame(rows: Iterable[Row]) -> Any:
    """A data frame of rows; an unknown figure is NA."""
    return _typed_frame([asdict(row) for row in rows], Row)


def samples_frame(blocks: Iterable[Block]) -> Any:
    """A data frame of blocks."""
    return _typed_frame([asdict(block) for block in blocks], Block)


def _typed_frame(records: list[dict[str, Any]], kind: type[Row] | type[Block]) -> Any:
    """A data frame in which each column has one type, even with missing values; extent is text."""
    import pandas as pd

    types = {"str": "string", "int": "Int64", "float": "Float64", "bool": "boolean"}
    # As objects: pandas would turn a column of integers and gaps into floats.
    names = [item.name for item in fields(kind)]
    frame: Any = pd.DataFrame(records, columns=names, dtype=object)
    for item in fields(kind):
        declared = str(item.type).split(" ")[0]
        if declared not in types:
            frame[item.name] = frame[item.name].map(str, na_action="ignore").astype("string")
        else:
            frame[item.name] = frame[item.name].astype(types[declared])
    return frame
