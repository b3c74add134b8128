"""Creates, fills, finishes, finds and reads run folders. No file in them is executed."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from errno import ELOOP
from pathlib import Path
from typing import Any

from attn_bench.model.bounds import MOST_BLOCKS, MOST_BYTES, MOST_CASES
from attn_bench.model.case import BASELINE, PLAIN
from attn_bench.model.errors import CannotWrite, RequestError, nearest
from attn_bench.model.row import COLUMNS, KEY_COLUMNS, Row
from attn_bench.model.run import Block, Outcome
from attn_bench.store import info as run_json
from attn_bench.store.files import Content, write_atomically
from attn_bench.store.frames import as_records, read_parquet, samples_frame, table_frame
from attn_bench.store.info import RunInfo
from attn_bench.store.keys import keys_of, with_keys
from attn_bench.store.reading import clean, parse_json, read_bytes, read_record
from attn_bench.store.tables import as_csv, as_markdown

RESULTS = "results"
JOURNAL = "journal.jsonl"
SAMPLES = "samples.parquet"
# Columns of the samples before schema 3, and their names now.
RENAMED_SAMPLES = {"first_call_seconds": "first_call_s", "device_seconds": "device_s"}
# The columns that came after the first table. A table without another one is damaged.
LATER = (
    *("arguments", "backbone", "place", "device_clock"),
    *("queued_us", "queued_lo_us", "queued_hi_us"),
    *("images_per_s", "images_per_s_lo", "images_per_s_hi"),
    *("over_fastest", "over_fastest_lo", "over_fastest_hi"),
    *KEY_COLUMNS,
)


@dataclass(frozen=True)
class StoredRun:
    """A stored run, as read. Its many blocks are read on demand.

    left_out: the rows that a selection has left out.
    """

    path: Path
    info: RunInfo
    rows: Sequence[Row]
    left_out: Sequence[Row] = ()

    def select(self, rows: Sequence[Row]) -> StoredRun:
        """The run with these of its rows alone."""
        kept = {row.case_id for row in rows}
        left_out = [row for row in self.rows if row.case_id not in kept]
        return replace(self, rows=rows, left_out=left_out)


class RunFolder:
    """The folder of a run that is being measured."""

    def __init__(self, path: Path) -> None:
        """Open the folder `path`, new or of a run to resume; an incomplete last line is removed.

        Raises RequestError if the journal cannot be written, or is a link or no regular file.
        """
        self.path = path
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path / JOURNAL, flags, 0o666)
        except OSError as error:
            reason = "it is a symbolic link" if error.errno == ELOOP else error.strerror
            raise RequestError(f"{path / JOURNAL}: cannot be written: {reason}") from None
        self._journal = os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            self.close()
            raise RequestError(f"{path / JOURNAL}: cannot be written: it is not a regular file")
        os.ftruncate(descriptor, _length_of_whole_lines(descriptor))

    @classmethod
    def create(cls, suite: str, device: str, started: datetime, out: str | None) -> RunFolder:
        """Create the folder `out`, or results/<utc time>-<suite>-<device>.

        Raises RequestError if it exists and is not empty, or if it cannot be written.
        """
        name = f"{started:%Y%m%dT%H%M%SZ}-{suite}-{device}"
        path = Path(out) if out else Path(RESULTS) / name
        try:
            if not out:
                return cls(_make(path))
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RequestError(f"--out {path}: already exists; a run is never overwritten")
            path.mkdir(parents=True, exist_ok=True)
            return cls(path)
        except OSError as error:
            raise RequestError(f"{path}: cannot be written: {error.strerror}") from None

    def write_info(self, info: RunInfo) -> None:
        """Write run.json. Raises CannotWrite."""
        with self._reporting(run_json.FILE):
            run_json.write(self.path, info)

    def keep(self, record: Outcome | Block) -> None:
        """Append `record` to the journal at once. Raises CannotWrite."""
        kind = type(record).__name__.lower()
        try:
            self._journal.write(json.dumps({kind: asdict(record)}, ensure_ascii=False) + "\n")
            self._journal.flush()
        except OSError as error:
            raise CannotWrite(f"{self.path / JOURNAL}", error) from None

    def write_table(self, rows: Sequence[Row]) -> None:
        """Write table.csv, table.md and table.parquet. Raises CannotWrite."""
        frame = table_frame(rows)
        self._write("table.csv", as_csv(rows, COLUMNS).encode())
        self._write("table.md", as_markdown(rows, COLUMNS).encode())
        self._write("table.parquet", lambda file: frame.to_parquet(file, index=False))

    def write_samples(self, blocks: Iterable[Block]) -> None:
        """Write samples.parquet. Raises CannotWrite."""
        frame = samples_frame(blocks)
        self._write(SAMPLES, lambda file: frame.to_parquet(file, index=False))

    def _write(self, name: str, content: Content) -> None:
        with self._reporting(name):
            write_atomically(self.path / name, content)

    @contextmanager
    def _reporting(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(f"{self.path / name}", error) from None

    def finish(self, rows: Sequence[Row], blocks: Iterable[Block], info: RunInfo) -> None:
        """Write all files but the journal. run.json comes last: it marks the folder as complete.

        Raises CannotWrite; the journal then still holds all results.
        """
        try:
            self.write_samples(blocks)
            self.write_table(rows)
            self.write_info(info)
        finally:
            self.close()

    def close(self) -> None:
        with suppress(OSError):  # a full disk was reported by the failed write
            self._journal.close()


def find(run: str, results: Path | None = None) -> Path:
    """The folder of `run`: a path, a folder's name under results/, a unique prefix, or "latest".

    Raises RequestError if no folder matches, or several.
    """
    try:
        if run and Path(run, run_json.FILE).is_file():
            return Path(run)
    except OSError as error:
        raise RequestError(f"run {run!r} not found: {error.strerror}") from None
    base = results or Path(RESULTS)
    begun = sorted(base.glob("*/run.json"), key=lambda file: (_written_ns(file), file))
    folders = [file.parent for file in begun]
    if run == "latest":
        if not folders:
            raise RequestError(f"run 'latest' not found: {base}/ in this folder contains no run")
        return folders[-1]
    folders += sorted(path.parent for path in base.glob("reference/*/run.json"))
    matching = [p for p in folders if p.name.startswith(run)]
    if run and not matching and (Path(run).is_dir() or (base / run).is_dir()):
        raise RequestError(f"{run}: its {run_json.FILE} is missing, or is not a regular file")
    if not folders:
        raise RequestError(f"run {run!r} not found: {base}/ in this folder contains no run")
    exact = [p for p in matching if p.name == run] if run else []
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    if matching:
        raise RequestError(f"{run!r} matches {len(matching)} runs: give a longer part of the name")
    names = ["latest", *(p.name for p in folders)]
    raise RequestError(f"run {run!r} not found{nearest(run, names)}")


def _written_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:  # removed meanwhile, or a link to nothing
        return 0


def load(path: Path) -> StoredRun:
    """Read a finished run. Raises RequestError if it is unfinished or damaged."""
    path = path if path.name else path.resolve()
    info = run_json.read(path)
    table = path / "table.parquet"
    if not table.exists():
        if info.state == "finished":
            raise RequestError(f"{table}: is missing, although the run was finished")
        hint = "" if info.kind == "check" else f" (run --resume {path.name}?)"
        raise RequestError(f"{path}: the run was not finished{hint}")
    frame = read_parquet(table, MOST_CASES)
    missing = [name for name in COLUMNS if name not in (*frame.columns, *LATER)]
    if missing:
        raise RequestError(f"{table}: the column {missing[0]!r} of a run's table is missing")
    known = [name for name in COLUMNS if name in frame.columns]
    try:
        records = clean(as_records(frame[known]))
        rows = read_record([_upgrade(record) for record in records], list[Row])
        for row in rows:
            row.check()
    except RequestError as error:
        raise RequestError(f"{table}: {error}") from None
    rows = with_keys(rows, keys_of(path.name, info))
    return StoredRun(path, info, _drop_foreign_ratios(rows, info))


def _drop_foreign_ratios(rows: Sequence[Row], info: RunInfo) -> list[Row]:
    """The rows, without ratios to the baseline in another execution, as versions before 0.2 had."""
    baselines = (PLAIN, info.suite.baseline)
    own = {r.execution for r in rows if r.variant in baselines or r.module.endswith(BASELINE)}
    unknown: dict[str, Any] = dict.fromkeys(("ratio", "ratio_lo", "ratio_hi"))
    return [row if row.execution in own else replace(row, **unknown) for row in rows]


def _upgrade(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a table in schema 3.

    A Parquet column has one type, so an extent is read as text. Before schema 3, only the label
    contained the arguments.
    """
    word = str(record.get("extent")).removesuffix(".0")  # versions before 0.2 wrote "2.0"
    if word.isascii() and word.isdecimal() and len(word) < 10:
        record["extent"] = int(word)
    if "arguments" not in record:
        _, _, inside = str(record["variant"]).removesuffix(")").partition("(")
        parts = [part for part in inside.split(", ") if part and not part.startswith("extent=")]
        record["arguments"] = ", ".join(parts) or None
    return record


def load_blocks(path: Path) -> list[Block]:
    """Every block of a finished run. Raises RequestError if they cannot be read."""
    file = path / SAMPLES
    frame = read_parquet(file, MOST_BLOCKS).rename(columns=RENAMED_SAMPLES)
    try:
        return read_record(clean(as_records(frame)), list[Block])
    except RequestError as error:
        raise RequestError(f"{file}: {error}") from None


def list_newest_first(results: Path | None = None) -> Iterator[tuple[Path, RunInfo]]:
    """The runs under results/ with a readable run.json; the newest name comes first."""
    for file in sorted((results or Path(RESULTS)).glob("*/run.json"), reverse=True):
        with suppress(RequestError):
            yield file.parent, run_json.read(file.parent)


def find_newest(suite: str, fingerprint: str | None) -> RunInfo | None:
    """run.json of the latest finished run of `suite` on the machine with that fingerprint."""
    for _, info in list_newest_first():
        is_here = info.environment.fingerprint == fingerprint and fingerprint is not None
        if info.suite.name == suite and is_here and info.state == "finished":
            return info
    return None


def read_journal(path: Path) -> tuple[dict[str, Outcome], list[Block]]:
    """The outcomes and blocks of an interrupted run; an incomplete last line is ignored."""
    outcomes: dict[str, Outcome] = {}
    blocks: list[Block] = []
    journal = path / JOURNAL
    whole, _, _ = read_bytes(journal).rpartition(b"\n")
    lines = whole.splitlines()
    if len(lines) > MOST_BLOCKS:
        raise RequestError(f"{journal}: cannot be read: it is larger than any run's")
    for number, line in enumerate(lines, start=1):
        try:
            match parse_json(line):
                case {"outcome": values}:
                    outcome = read_record(values, Outcome)
                    outcomes[outcome.case_id] = outcome
                case {"block": dict() as values}:
                    renamed = {RENAMED_SAMPLES.get(name, name): values[name] for name in values}
                    blocks.append(read_record(renamed, Block))
                case _:
                    raise RequestError("is neither an outcome nor a block")
        except RequestError as error:
            raise RequestError(f"{journal}:{number}: {error}") from None
    return outcomes, blocks


def _length_of_whole_lines(descriptor: int) -> int:
    """The length of a journal without an incomplete last line."""
    content = os.pread(descriptor, MOST_BYTES, 0)
    return content.rfind(b"\n") + 1


def _make(path: Path) -> Path:
    """Create the folder `path`, or `path` with a number if another run created it first."""
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
