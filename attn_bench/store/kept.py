"""Keeps what a history needs of finished runs in another folder: the newest of each machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attn_bench.model.errors import RequestError
from attn_bench.store import info as run_json
from attn_bench.store.dataset import TABLE
from attn_bench.store.files import naming, write_atomically
from attn_bench.store.reading import read_bytes

KEPT = (TABLE, run_json.FILE)  # run.json comes last: it marks a folder as complete


@dataclass(frozen=True, slots=True)
class Change:
    """How many runs were added to a store, and how many old ones were removed."""

    added: int
    removed: int


def keep(results: Path, store: Path, most: int) -> Change:
    """Copy finished runs of `results` into `store`, and remove its oldest runs.

    most: the runs of one suite and kind on one machine that stay, the newest.
    Raises RequestError if the store cannot be written.
    """
    with naming(store):
        store.mkdir(parents=True, exist_ok=True)
        if results.resolve() == store.resolve():
            raise RequestError(f"{store}: the runs lie here already")
        added = sum(_copy(folder, store / folder.name) for folder, _ in _list_finished(results))
        old = _list_old(store, most)
        for folder in old:
            for name in KEPT:
                (folder / name).unlink()
            folder.rmdir()
    return Change(added, len(old))


def _list_finished(folder: Path) -> Iterator[tuple[Path, run_json.RunInfo]]:
    for file in sorted(folder.glob(f"*/{TABLE}")):
        try:
            info = run_json.read(file.parent)
        except RequestError:  # the history names it
            continue
        if info.state == "finished":
            yield file.parent, info


def _copy(run: Path, target: Path) -> bool:
    """Copy the files of a run that differ; whether there was one."""
    changed = False
    for name in KEPT:
        content, file = read_bytes(run / name), target / name
        if not file.is_file() or read_bytes(file) != content:
            target.mkdir(exist_ok=True)
            write_atomically(file, content)
            changed = True
    return changed


def _list_old(store: Path, most: int) -> list[Path]:
    """All but the newest `most` runs of each suite, kind and machine.

    A folder with other files was not written by `keep`, and stays.
    """
    groups: dict[tuple[str, str, str], list[tuple[str, Path]]] = defaultdict(list)
    for folder, info in _list_finished(store):
        if {file.name for file in folder.iterdir()} != set(KEPT):
            continue
        group = (info.suite.name, info.kind, info.environment.fingerprint or "")
        groups[group].append((info.start or "", folder))
    return [folder for runs in groups.values() for _, folder in sorted(runs)[:-most]]
