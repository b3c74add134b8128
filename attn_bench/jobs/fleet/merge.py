"""The job of `merge`: one table of all shards of a plan, one shard after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.fleet import Shard
from attn_bench.model.status import COUNTED, FAULTS
from attn_bench.store.files import naming, write_atomically
from attn_bench.store.fleet import (
    DoneShard,
    Watcher,
    find_missing,
    open_plan,
    read_done,
    read_plan,
)
from attn_bench.store.fleet_tables import FORMATS

DEFAULT = "fleet.parquet"


@dataclass
class Merged:
    """What a merge found, and the file that it wrote; None if the fleet is not complete.

    missing: expected devices without a shard.
    measured: the rows with figures.
    damaged: shards that cannot be read, with the reason.
    faults: the device, the host, the case and the reason of each case without figures.
    unclear: of each shard with cases without times, their number and the reason of the first.
    """

    done: list[Shard] = field(default_factory=list)
    unfinished: list[Shard] = field(default_factory=list)
    missing: tuple[str, ...] = ()
    damaged: list[tuple[Shard, str]] = field(default_factory=list)
    faults: list[tuple[str, str, str, str]] = field(default_factory=list)
    unclear: list[tuple[str, str, int, str]] = field(default_factory=list)
    rows: int = 0
    measured: int = 0
    file: Path | None = None

    @property
    def lacks_shards(self) -> bool:
        return bool(self.unfinished or self.missing or not self.done)


def merge(store: str, out: str | None, *, allow_partial: bool) -> Merged:
    """Write the table of a plan to `out`, or to fleet.parquet in the current folder.

    Its rows have the columns device_name, fingerprint and host before those of a run.
    allow_partial: write it although shards are missing or damaged.
    Raises RequestError for mixed code or settings, for a damaged shard, and for a file that cannot
    be written.
    """
    place = open_plan(store)
    plan = read_plan(place)
    file = check_name(out)
    write = FORMATS[file.suffix]
    shards = Watcher(place, plan).look_closely()
    found = Merged(
        unfinished=[shard for shard, _ in shards if shard.state != "done"],
        missing=find_missing(plan, [shard for shard, _ in shards]),
        done=[shard for shard, _ in shards if shard.state == "done"],
    )
    if found.lacks_shards and not (allow_partial and found.done):
        return found

    def content(stream: IO[bytes]) -> None:
        damaged = found.damaged if allow_partial else None
        write(stream, _count(read_done(place, plan, shards, damaged), found))
        if not found.rows:
            raise RequestError(f"no shard is left: {found.damaged[0][1]}")

    with naming(file):
        write_atomically(file, content)
    found.file = file
    return found


def check_name(out: str | None) -> Path:
    """The file of a merged table. Raises RequestError if its name says no format."""
    file = Path(out or DEFAULT)
    if file.suffix not in FORMATS:
        hint = nearest(file.suffix, FORMATS)
        raise RequestError(f"--out {file}: its name must end in .parquet, .csv or .md{hint}")
    return file


def _count(shards: Iterator[DoneShard], found: Merged) -> Iterator[DoneShard]:
    """The shards, whose rows are counted as they pass."""
    for one in shards:
        found.rows += len(one.rows)
        found.measured += sum(row.status in COUNTED for row in one.rows)
        for row in one.rows:
            if row.status in FAULTS:
                names = (one.shard.device, one.shard.host, row.case_id)
                found.faults.append((*names, f"{row.status}: {row.error}"))
        if unclear := [row for row in one.rows if row.status == "unclear"]:
            reason = unclear[0].error or ""
            found.unclear.append((one.shard.device, one.shard.host, len(unclear), reason))
        yield one
