"""What an owner keeps of its run below its epoch, and what the next owner takes over.

begun.json is the run's run.json as it began. The journal lies in parts, since an object cannot
grow. run.json comes last: it marks the shard as done.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from attn_bench.catalog import code
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import FleetPlan
from attn_bench.model.run import Settings
from attn_bench.store import info as run_json
from attn_bench.store import runs
from attn_bench.store.claims import DONE, SHARDS, Claim
from attn_bench.store.dataset import TABLE
from attn_bench.store.info import RunInfo
from attn_bench.store.keys import keys_of
from attn_bench.store.places import Place, Unreachable
from attn_bench.store.runs import JOURNAL, SAMPLES, StoredRun

BEGUN = "begun.json"
FINISHED = (SAMPLES, TABLE, DONE)  # in the order in which they are written


def journal_part(number: int) -> str:
    """The name of a part of a journal, from 1."""
    return f"journal-{number:06d}.jsonl"


def name_run(plan: FleetPlan, shard: str, start: str | None) -> str:
    """The name of a shard's run, which its rows carry."""
    began = datetime.fromisoformat(start) if start else datetime.now(UTC)
    return f"{began:%Y%m%dT%H%M%SZ}-{plan.suite.name}-{shard}"


def read_done_run(place: Place, plan: FleetPlan, shard: str, epoch: int) -> StoredRun:
    """The run of a shard that is done. Raises RequestError if it is damaged, or another run's."""
    key = _folder(shard, epoch)
    with TemporaryDirectory(prefix="attn-bench-shard-") as folder:
        try:
            for name in (TABLE, DONE):
                content = place.get(f"{key}/{name}")
                if content is None:
                    raise RequestError(f"{folder}/{name}: is missing")
                Path(folder, name).write_bytes(content)
            stored = runs.load(Path(folder))
            if fault := _find_fault(plan, shard, stored):
                raise RequestError(f"{folder}/{fault}")
            return stored
        except Unreachable:
            raise
        except RequestError as error:
            words = str(error).replace(folder, f"{place.name}/{key}")
            raise RequestError(f"{words}; `work --again` measures the shard again") from None


def _find_fault(plan: FleetPlan, shard: str, stored: StoredRun) -> str | None:
    """Why this is not a whole run of the shard, with the file; None if it is."""
    info, rows = stored.info, stored.rows
    if (info.kind, info.state) != ("run", "finished"):
        return f"{DONE}: is of a {info.kind} that is {info.state}"
    if info.environment.fingerprint != shard.partition("-")[0]:
        return f"{DONE}: was measured on the machine {info.environment.fingerprint}"
    if info.code != code.hash_of(info.sources):
        return f"{DONE}: its code is not the hash of its sources"
    try:
        name = name_run(plan, shard, info.start)
    except ValueError:
        return f"{DONE}: start is {info.start!r}"
    keys = asdict(keys_of(name, info))
    ids = {row.case_id for row in rows}
    if lacking := sorted({*info.operations, *info.uncounted_operators} - ids):
        return f"{TABLE}: has no row of {lacking[0]}"
    if not rows or len(ids) != len(rows):
        return f"{TABLE}: has {len(rows)} rows of {len(ids)} cases"
    for row in rows:
        for key, value in keys.items():
            if getattr(row, key) != value:
                return f"{TABLE}: {key} is {getattr(row, key)!r}, and that of the run is {value!r}"
    return None


def find_finished(place: Place, claim: Claim) -> int:
    """The newest epoch before this claim whose owner finished, perhaps late; 0 if none did."""
    names = _names_below(place, claim)
    epochs = range(claim.epoch - 1, 0, -1)
    return next((epoch for epoch in epochs if f"{epoch:06d}/{DONE}" in names), 0)


def take_over(
    place: Place, plan: FleetPlan, settings: Settings, claim: Claim, folder: Path
) -> tuple[Path, RunInfo] | None:
    """The run folder, inside `folder`, of what the last owner that had begun left.

    None if nobody had begun, or if it is finished, damaged, or has other settings.
    """
    names = _names_below(place, claim)
    for epoch in range(claim.epoch - 1, 0, -1):
        if f"{epoch:06d}/{DONE}" in names:
            return None
        if f"{epoch:06d}/{BEGUN}" in names:
            try:
                path, info = _restore(place, plan, claim.shard, epoch, folder)
                return (path, info) if info.settings == settings else None
            except Unreachable:
                raise
            except (RequestError, ValueError):
                return None
    return None


def _restore(
    place: Place, plan: FleetPlan, shard: str, epoch: int, folder: Path
) -> tuple[Path, RunInfo]:
    key = _folder(shard, epoch)
    aside = folder / "begun"
    aside.mkdir()
    (aside / run_json.FILE).write_bytes(place.get(f"{key}/{BEGUN}") or b"")
    info = replace(run_json.read(aside), suite=plan.suite, request=plan.request)
    path = aside.rename(folder / name_run(plan, shard, info.start))
    run_json.write(path, info)
    with (path / JOURNAL).open("wb") as journal:
        number = 1
        while (part := place.get(f"{key}/{journal_part(number)}")) is not None:
            journal.write(part)
            number += 1
    return path, info


def _names_below(place: Place, claim: Claim) -> set[str]:
    prefix = f"{SHARDS}/{claim.shard}"
    return {key.removeprefix(f"{prefix}/") for key in place.find(prefix)}


def _folder(shard: str, epoch: int) -> str:
    return f"{SHARDS}/{shard}/{epoch:06d}"
