"""Run folders: made, filled as work ends, finished, found again and read. Nothing in them is code.

Schema of run.json and the files beside it, by version:
1  the first.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from attn_bench.errors import RequestError, nearest
from attn_bench.record import COLUMNS, Block, Outcome, Row
from attn_bench.units import plain

SCHEMA = 1
RESULTS = "results"


@dataclass(frozen=True)
class StoredRun:
    """A run as it was read back; `blocks` is read on demand, since it is large."""

    path: Path
    info: Mapping[str, Any]
    rows: Sequence[Row]


class RunFolder:
    """The folder of a run that is being measured. Files are written aside and moved into place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal = (path / "journal.jsonl").open("a", encoding="utf-8")

    @classmethod
    def create(cls, suite: str, device: str, started: datetime, out: str | None) -> RunFolder:
        """A new folder: `out`, or results/<utc time>-<suite>-<device>.

        Raises RequestError where it exists already (and is not empty), or cannot be written.
        """
        name = f"{started:%Y%m%dT%H%M%SZ}-{suite}-{device}"
        path = Path(out) if out else _unused(Path(RESULTS) / name)
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RequestError(
                    f"--out {path}: it exists already, and a run is never overwritten"
                )
            path.mkdir(parents=True, exist_ok=True)
            return cls(path)
        except OSError as error:
            raise RequestError(f"{path}: cannot be written: {error.strerror}") from None

    def write_info(self, info: Mapping[str, Any]) -> None:
        text = json.dumps({"schema": SCHEMA, **info}, indent=2, ensure_ascii=False) + "\n"
        self._write("run.json", lambda file: file.write(text.encode()))

    def keep(self, record: Outcome | Block) -> None:
        """Append to the journal, at once."""
        kind = type(record).__name__.lower()
        self._journal.write(json.dumps({kind: asdict(record)}, ensure_ascii=False) + "\n")
        self._journal.flush()

    def write_table(self, rows: Sequence[Row]) -> None:
        """table.csv, table.md and table.parquet."""
        self._write("table.csv", lambda file: file.write(as_csv(rows, COLUMNS).encode()))
        self._write("table.md", lambda file: file.write(as_markdown(rows, COLUMNS).encode()))
        frame = _typed_frame([asdict(row) for row in rows], Row)
        self._write("table.parquet", lambda file: frame.to_parquet(file, index=False))

    def write_samples(self, blocks: Iterable[Block]) -> None:
        frame = _typed_frame([asdict(block) for block in blocks], Block)
        self._write("samples.parquet", lambda file: frame.to_parquet(file, index=False))

    def close(self) -> None:
        self._journal.close()

    def _write(self, name: str, fill: Callable[[IO[bytes]], object]) -> None:
        aside = self.path / f".{name}.part"
        with aside.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.path / name)


def find(run: str, results: Path | None = None) -> Path:
    """The folder of `run`: a path, a folder's name under results/, a unique prefix, or "latest".

    Raises RequestError where there is none, or more than one.
    """
    if Path(run, "run.json").is_file():
        return Path(run)
    base = results or Path(RESULTS)
    folders = sorted({p.parent for p in base.glob("*/run.json")}) if base.is_dir() else []
    if not folders:
        raise RequestError(f"there is no run {run!r}: {base}/ holds none yet")
    if run == "latest":
        return folders[-1]
    matching = [p for p in folders if p.name.startswith(run)]
    exact = [p for p in matching if p.name == run]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    if matching:
        raise RequestError(f"{run!r} is the beginning of {len(matching)} runs: give more of it")
    raise RequestError(f"there is no run {run!r}{nearest(run, [p.name for p in folders])}")


def load(path: Path) -> StoredRun:
    """Read a finished run. Raises RequestError for what is not one."""
    import pandas as pd

    info = read_info(path)
    table = path / "table.parquet"
    if not table.is_file():
        raise RequestError(f"{path}: the run was not finished (run --resume {path.name}?)")
    try:
        frame = pd.read_parquet(table)
    except (OSError, ValueError) as error:
        raise RequestError(f"{table}: cannot be read: {error}") from None
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise RequestError(
            f"{table}: column {missing[0]!r} is missing: not a table of schema {SCHEMA}"
        )
    frame = frame.astype(object).where(frame.notna(), None)
    rows = [Row(**{name: record[name] for name in COLUMNS}) for record in frame.to_dict("records")]
    return StoredRun(path, info, [_with_whole_extent(row) for row in rows])


def read_info(path: Path) -> dict[str, Any]:
    """run.json of the folder `path`. Raises RequestError where it is not one of this schema."""
    file = path / "run.json"
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"{file}: cannot be read: {error}") from None
    if not isinstance(info, dict) or info.get("schema") != SCHEMA:
        found = info.get("schema") if isinstance(info, dict) else None
        raise RequestError(f"{file}: schema {found!r}, and this version reads schema {SCHEMA}")
    return info


def as_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """RFC 4180 with a header; an unknown value is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([getattr(row, name) for name in columns] for row in rows)
    return text.getvalue()


def as_markdown(rows: Iterable[Row], columns: Sequence[str]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        cells = (_markdown_cell(getattr(row, name)) for name in columns)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_json(rows: Iterable[Row], columns: Sequence[str]) -> str:
    records = [{name: getattr(row, name) for name in columns} for row in rows]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"


def _markdown_cell(value: object) -> str:
    return plain(value).replace("|", "\\|").replace("\n", " ")


def _typed_frame(records: list[dict[str, Any]], kind: type[Row] | type[Block]) -> Any:
    """A data frame whose columns have one type each, whatever is missing; extent is a word."""
    import pandas as pd

    types = {"str": "string", "int": "Int64", "float": "Float64", "bool": "boolean"}
    frame: Any = pd.DataFrame(records, columns=[item.name for item in fields(kind)])
    for item in fields(kind):
        declared = str(item.type).split(" ")[0]
        if declared in ("Extent", "Status"):
            frame[item.name] = frame[item.name].map(str, na_action="ignore").astype("string")
        else:
            frame[item.name] = frame[item.name].astype(types[declared])
    return frame


def _with_whole_extent(row: Row) -> Row:
    """A parquet column has one type, so an extent comes back as a word."""
    word = str(row.extent)
    return replace(row, extent=int(word)) if word.isdigit() else row


def _unused(path: Path) -> Path:
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate
