"""Keeps what a history needs of finished runs in another folder: the newest of each machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from attn_bench.model.errors import RequestError
from attn_bench.store import info as run_json
from attn_bench.store.dataset import TABLE
from attn_bench.store.files import naming, write_atomically
from attn_bench.store.reading import read_bytes

KEPT = (TABLE, run_json.FILE)  # run.json comes last: it marks a folder as complete


@dataclass(frozen=True, slots=True)
class Change:
    """How many runs were added to a store, and how many old ones were removed.

    skipped: a sentence for each run that cannot be kept.
    """

    added: int
    removed: int
    skipped: tuple[str, ...] = ()


def keep(results: Path, store: Path, most: int) -> Change:
    """Copy finished runs of `results` into `store`, and remove its oldest runs.

    most: the runs of one suite and kind on one machine that stay, the newest.
    Raises RequestError if the store cannot be written.
    """
    skipped: list[str] = []
    with naming(store):
        store.mkdir(parents=True, exist_ok=True)
        if results.exists() and results.samefile(store):
            raise RequestError(f"{store}: the runs lie here already")
        added = sum(_copy(folder, store, skipped) for folder, _ in _list_finished(results, skipped))
        old = _list_old(store, most)
        for folder in old:
            for name in KEPT:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # another process removed it, or writes into it
                folder.rmdir()
    return Change(added, len(old), tuple(skipped))


def _list_finished(folder: Path, skipped: list[str]) -> Iterator[tuple[Path, run_json.RunInfo]]:
    for file in sorted(folder.glob(f"*/{TABLE}")):
        try:
            info = run_json.read(file.parent)
        except RequestError as error:
            skipped.append(str(error))
            continue
        if info.state == "finished":
            yield file.parent, info


def _copy(run: Path, store: Path, skipped: list[str]) -> bool:
    """Copy the files of a run that differ; whether there was one."""
    if not run.name.isprintable():
        skipped.append(f"{run}: its name has characters that cannot be printed")
        return False
    try:
        contents = {name: read_bytes(run / name) for name in KEPT}
        target = _find_place(store, run.name, contents[TABLE])
        changed = [n for n in KEPT if not _holds(target / n, contents[n])]
    except RequestError as error:
        skipped.append(str(error))
        return False
    for name in changed:
        target.mkdir(exist_ok=True)
        write_atomically(target / name, contents[name])
    return bool(changed)


def _find_place(store: Path, name: str, table: bytes) -> Path:
    """The folder of a run in the store. Two machines may name their runs by the same second."""
    other, own = store / name, store / f"{name}-{sha256(table).hexdigest()[:8]}"
    is_taken = (other / TABLE).is_file() and not _holds(other / TABLE, table)
    return own if own.exists() or is_taken else other


def _holds(file: Path, content: bytes) -> bool:
    return file.is_file() and read_bytes(file) == content


def _list_old(store: Path, most: int) -> list[Path]:
    """All but the newest `most` runs of each suite, kind and machine.

    A folder with other files was not written by `keep`, and stays.
    """
    groups: dict[tuple[str, str, str], list[tuple[str, Path]]] = defaultdict(list)
    for folder, info in _list_finished(store, []):
        if {file.name for file in folder.glob("*")} != set(KEPT):
            continue
        group = (info.suite.name, info.kind, info.environment.fingerprint or "")
        groups[group].append((info.start or "", folder))
    return [folder for runs in groups.values() for _, folder in sorted(runs)[:-most]]
