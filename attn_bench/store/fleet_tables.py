"""The table of a fleet, written shard by shard, so that memory holds one shard at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO

from attn_bench.model.row import COLUMNS
from attn_bench.model.text import markdown, spreadsheet
from attn_bench.model.units import plain
from attn_bench.store.fleet import DoneShard
from attn_bench.store.frames import table_frame

# Before the columns of a run, whose `device` is the axis: cpu or cuda.
DEVICE_COLUMNS = ("device_name", "fingerprint", "host")


def write_parquet(stream: IO[bytes], shards: Iterable[DoneShard]) -> None:
    """One row group for each shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for one in shards:
            frame = table_frame(one.rows)
            for place, (name, value) in enumerate(_device_of(one).items()):
                frame.insert(place, name, value)
                frame[name] = frame[name].astype("string")
            table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
            writer = writer or pq.ParquetWriter(stream, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=max(1, len(one.rows)))
    finally:
        if writer is not None:
            writer.close()


def write_csv(stream: IO[bytes], shards: Iterable[DoneShard]) -> None:
    """RFC 4180 with a header, as the table of a run."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*DEVICE_COLUMNS, *COLUMNS))
    for cells in _cells(shards):
        writer.writerow([spreadsheet(cell) if isinstance(cell, str) else cell for cell in cells])
    text.detach()


def write_markdown(stream: IO[bytes], shards: Iterable[DoneShard]) -> None:
    """A table of GitHub's Markdown."""
    headings = (*DEVICE_COLUMNS, *COLUMNS)
    stream.write(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}\n".encode())
    for cells in _cells(shards):
        stream.write(f"| {' | '.join(markdown(plain(cell)) for cell in cells)} |\n".encode())


FORMATS: Mapping[str, Callable[[IO[bytes], Iterable[DoneShard]], None]] = {
    ".parquet": write_parquet,
    ".csv": write_csv,
    ".md": write_markdown,
}


def _device_of(one: DoneShard) -> dict[str, str | None]:
    values = (one.shard.device, one.info.environment.fingerprint, one.shard.host)
    return dict(zip(DEVICE_COLUMNS, values, strict=True))


def _cells(shards: Iterable[DoneShard]) -> Iterator[list[object]]:
    for one in shards:
        device = [*_device_of(one).values()]
        for row in one.rows:
            yield [*device, *(getattr(row, name) for name in COLUMNS)]
