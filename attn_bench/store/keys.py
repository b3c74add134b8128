"""The keys of a run, which each of its rows carries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace

from attn_bench.model.environment import software_hash_of
from attn_bench.model.row import Keys, Row
from attn_bench.store.info import RunInfo


def keys_of(name: str, info: RunInfo) -> Keys:
    """The keys of the run in the folder `name`."""
    seen = info.environment
    return Keys(
        run=name,
        start=info.start,
        suite=info.suite.name,
        revision=seen.git_commit,
        dirty=seen.git_dirty,
        against=info.against,
        code=info.code,
        machine=seen.fingerprint,
        software=software_hash_of(seen),
    )


def with_keys(rows: Iterable[Row], keys: Keys) -> list[Row]:
    """The rows with these keys; a row that has its own keeps them."""
    own = asdict(keys)
    return [row if row.run else replace(row, **own) for row in rows]
