"""Run folders: made, filled as work ends, finished, found again and read. Nothing in them is code.

Schema of run.json and the files beside it, by version:
1  the first.
2  whole networks: the columns backbone and place.
3  the column arguments; in run.json, suite.anchor is suite.baseline, and suite.axes holds the
   values of each axis. A column that a table of an older schema lacks is empty.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from attn_bench.model.errors import CannotWrite, RequestError, nearest
from attn_bench.model.row import COLUMNS, Row
from attn_bench.model.run import Block, Outcome
from attn_bench.model.units import plain

T = TypeVar("T")
SCHEMA = 3
READABLE = (1, 2, 3)
AXES_BEFORE_3 = {
    "dtypes": "dtype",
    "memory_formats": "memory_format",
    "modes": "mode",
    "executions": "execution",
}
RESULTS = "results"
# Without these a table says nothing.
NEEDED = ("case_id", "module", "variant", "status")
INFO_TABLES = ("suite", "settings", "environment")  # of run.json


@dataclass(frozen=True)
class StoredRun:
    """A run as it was read back; `blocks` is read on demand, since it is large."""

    path: Path
    info: Mapping[str, Any]
    rows: Sequence[Row]


class RunFolder:
    """The folder of a run that is being measured. Files are written aside and moved into place."""

    def __init__(self, path: Path) -> None:
        """The folder `path`, new or to be gone on with: a journal line cut off is cleared."""
        self.path = path
        journal = path / "journal.jsonl"
        if journal.exists():
            whole = journal.read_bytes().rpartition(b"\n")
            os.truncate(journal, len(whole[0] + whole[1]))
        self._journal = journal.open("a", encoding="utf-8")

    @classmethod
    def create(cls, suite: str, device: str, started: datetime, out: str | None) -> RunFolder:
        """A new folder: `out`, or results/<utc time>-<suite>-<device>.

        Raises RequestError where it exists already (and is not empty), or cannot be written.
        """
        name = f"{started:%Y%m%dT%H%M%SZ}-{suite}-{device}"
        path = Path(out) if out else Path(RESULTS) / name
        try:
            if not out:
                return cls(_made(path))
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
        self._write("run.json", lambda file: file.write(text.encode(errors="backslashreplace")))

    def keep(self, record: Outcome | Block) -> None:
        """Append to the journal, at once. Raises CannotWrite."""
        kind = type(record).__name__.lower()
        try:
            self._journal.write(json.dumps({kind: asdict(record)}, ensure_ascii=False) + "\n")
            self._journal.flush()
        except OSError as error:
            raise CannotWrite(f"{self.path}/journal.jsonl", error) from None

    def write_table(self, rows: Sequence[Row]) -> None:
        """table.csv, table.md and table.parquet."""
        self._write("table.csv", lambda file: file.write(as_csv(rows, COLUMNS).encode()))
        self._write("table.md", lambda file: file.write(as_markdown(rows, COLUMNS).encode()))
        frame = table_frame(rows)
        self._write("table.parquet", lambda file: frame.to_parquet(file, index=False))

    def write_samples(self, blocks: Iterable[Block]) -> None:
        frame = samples_frame(blocks)
        self._write("samples.parquet", lambda file: frame.to_parquet(file, index=False))

    def finish(self, rows: Sequence[Row], blocks: Iterable[Block], info: Mapping[str, Any]) -> None:
        """Everything but the journal, run.json last: it says that the rest is there.

        Raises CannotWrite, where the journal still has all that was measured.
        """
        try:
            self.write_samples(blocks)
            self.write_table(rows)
            self.write_info(info)
        finally:
            self.close()

    def close(self) -> None:
        with suppress(OSError):  # a full disk was told when it was met
            self._journal.close()

    def _write(self, name: str, fill: Callable[[IO[bytes]], object]) -> None:
        aside = self.path / f".{name}.part"
        try:
            with aside.open("wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path / name)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise CannotWrite(f"{self.path / name}", error) from None


def find(run: str, results: Path | None = None) -> Path:
    """The folder of `run`: a path, a folder's name under results/, a unique prefix, or "latest".

    Raises RequestError where there is none, or more than one.
    """
    try:
        if run and Path(run, "run.json").is_file():
            return Path(run)
    except OSError as error:
        raise RequestError(f"there is no run {run!r}: {error.strerror}") from None
    base = results or Path(RESULTS)
    begun = sorted(base.glob("*/run.json"), key=lambda file: (file.stat().st_mtime_ns, file))
    folders = [file.parent for file in begun]
    if run == "latest" and folders:
        return folders[-1]
    folders += sorted(path.parent for path in base.glob("reference/*/run.json"))
    if not folders:
        raise RequestError(f"there is no run {run!r}: {base}/ below this folder holds none")
    matching = [p for p in folders if p.name.startswith(run)]
    exact = [p for p in matching if p.name == run] if run else []
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
        hint = "" if info.get("kind") == "check" else f" (run --resume {path.name}?)"
        raise RequestError(f"{path}: the run was not finished{hint}")
    try:
        frame = pd.read_parquet(table)
    except (OSError, ValueError) as error:
        raise RequestError(f"{table}: cannot be read: {error}") from None
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise RequestError(f"{table}: column {missing[0]!r} is missing: not a table of a run")
    frame = frame.astype(object).where(frame.notna(), None)
    known = [name for name in COLUMNS if name in frame.columns]
    records = [{name: record[name] for name in known} for record in frame.to_dict("records")]
    if "arguments" not in known:
        records = [{**record, "arguments": _arguments_of(record)} for record in records]
    try:
        rows = read_record([_with_whole_extent(record) for record in records], list[Row])
    except RequestError as error:
        raise RequestError(f"{table}: {error}") from None
    return StoredRun(path, info, rows)


def load_blocks(path: Path) -> list[Block]:
    """Every block of a finished run. Raises RequestError where they cannot be read."""
    import pandas as pd

    file = path / "samples.parquet"
    try:
        frame = pd.read_parquet(file)
        frame = frame.astype(object).where(frame.notna(), None)
        blocks = read_record(frame.to_dict("records"), list[Block])
    except (OSError, ValueError, RequestError) as error:
        raise RequestError(f"{file}: cannot be read: {error}") from None
    if any(block.calls < 1 or not block.seconds > 0 for block in blocks):
        raise RequestError(f"{file}: has a block without calls, or without time")
    return blocks


def newest(suite: str, fingerprint: str) -> dict[str, Any] | None:
    """run.json of the latest finished run of `suite` on the machine of that fingerprint."""
    for path in sorted(Path(RESULTS).glob(f"*-{suite}-*/run.json"), reverse=True):
        try:
            info = read_info(path.parent)
        except RequestError:
            continue
        if (
            info["environment"].get("fingerprint") == fingerprint
            and info.get("state") == "finished"
        ):
            return info
    return None


def read_info(path: Path) -> dict[str, Any]:
    """run.json of the folder `path`. Raises RequestError where it is not one of this schema."""
    file = path / "run.json"
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{file}: cannot be read: {error}") from None
    if not isinstance(info, dict) or info.get("schema") not in READABLE:
        found = info.get("schema") if isinstance(info, dict) else None
        raise RequestError(f"{file}: schema {found!r}, and this version reads schema {SCHEMA}")
    for key in INFO_TABLES:
        if not isinstance(info.get(key), dict):
            raise RequestError(f"{file}: {key!r} is missing")
    if info["schema"] < SCHEMA:
        suite = info["suite"]
        if "anchor" in suite:
            suite["baseline"] = suite.pop("anchor")
        suite["axes"] = {new: suite.pop(old) for old, new in AXES_BEFORE_3.items() if old in suite}
    return info


def read_journal(path: Path) -> tuple[dict[str, Outcome], list[Block]]:
    """What the run had kept when it was cut off; a last line that is not whole is no record."""
    outcomes: dict[str, Outcome] = {}
    blocks: list[Block] = []
    journal = path / "journal.jsonl"
    try:
        text, _, _ = journal.read_text(encoding="utf-8").rpartition("\n")
        for line in text.splitlines():
            match json.loads(line):
                case {"outcome": values}:
                    outcomes[values["case_id"]] = read_record(values, Outcome)
                case {"block": values}:
                    blocks.append(Block(**values))
    except (OSError, ValueError, TypeError) as error:
        raise RequestError(f"{journal}: cannot be read: {error}") from None
    return outcomes, blocks


def read_record(values: Any, kind: type[T]) -> T:
    """A record of `kind` from JSON. Raises RequestError for what is none."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(
            f"{getattr(kind, '__name__', kind)} cannot be read: {first['loc']}: {first['msg']}"
        ) from None


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


def table_frame(rows: Iterable[Row]) -> Any:
    """A data frame of rows; an unknown figure is NA."""
    return _typed_frame([asdict(row) for row in rows], Row)


def samples_frame(blocks: Iterable[Block]) -> Any:
    """A data frame of blocks."""
    return _typed_frame([asdict(block) for block in blocks], Block)


def _typed_frame(records: list[dict[str, Any]], kind: type[Row] | type[Block]) -> Any:
    """A data frame whose columns have one type each, whatever is missing; extent is a word."""
    import pandas as pd

    types = {"str": "string", "int": "Int64", "float": "Float64", "bool": "boolean"}
    frame: Any = pd.DataFrame(records, columns=[item.name for item in fields(kind)])
    for item in fields(kind):
        declared = str(item.type).split(" ")[0]
        if declared not in types:
            frame[item.name] = frame[item.name].map(str, na_action="ignore").astype("string")
        else:
            frame[item.name] = frame[item.name].astype(types[declared])
    return frame


def _with_whole_extent(record: dict[str, Any]) -> dict[str, Any]:
    """A parquet column has one type, so an extent comes back as a word."""
    word = str(record["extent"])
    return {**record, "extent": int(word)} if word.isdigit() else record


def _arguments_of(record: Mapping[str, Any]) -> str | None:
    """Before schema 3 they stood in the label alone: `ge_theta(extent=4, rd_ratio=0.25)`."""
    _, _, inside = str(record["variant"]).removesuffix(")").partition("(")
    parts = [part for part in inside.split(", ") if part and not part.startswith("extent=")]
    return ", ".join(parts) or None


def _made(path: Path) -> Path:
    """A new folder: `path`, or the next number of it where another run was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    candidate, number = path, 2
    while True:
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            if not path.parent.is_dir():
                raise
            candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
