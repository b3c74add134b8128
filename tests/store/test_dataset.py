"""The tables of many runs as one data set: what is read, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from program import ROOT

from attn_bench.model.metrics import METRIC
from attn_bench.model.row import Row
from attn_bench.store import runs
from attn_bench.store.dataset import Figure, read_figures
from attn_bench.store.frames import table_frame

STORED = ROOT / "results" / "reference" / "ge_extents-cpu"
RATIO = METRIC["ratio"]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [row for row in runs.load(STORED).rows if row.ratio is not None][:3]


def store(results: Path, name: str, rows: list[Row], **keys: Any) -> Path:
    """A run folder with a table alone, whose rows have these keys."""
    (results / name).mkdir(parents=True)
    file = results / name / "table.parquet"
    keyed = [replace(row, **{"run": name, "machine": "m", **keys}) for row in rows]
    table_frame(keyed).to_parquet(file, index=False)
    return file


def read(results: Path, metric: str = "ratio") -> tuple[list[Figure], list[str]]:
    skipped: list[str] = []
    return list(read_figures(results, METRIC[metric], skipped)), skipped


def test_every_row_has_the_keys_of_its_run() -> None:
    """Also those of a run that was stored before there were keys."""
    row = runs.load(STORED).rows[0]
    assert (row.run, row.suite) == ("ge_extents-cpu", "ge_extents")
    assert row.machine
    assert row.software


def test_a_figure_has_its_keys_and_its_interval(tmp_path: Path, rows: list[Row]) -> None:
    """No run.json is needed for it."""
    store(tmp_path, "one", rows, revision="abc", suite="s")
    found, skipped = read(tmp_path)
    assert skipped == []
    assert [f.value for f in found] == [row.ratio for row in rows]
    assert (found[0].keys.run, found[0].keys.revision, found[0].keys.suite) == ("one", "abc", "s")
    assert found[0].lo <= found[0].value <= found[0].hi


def test_an_exact_figure_is_its_interval(tmp_path: Path, rows: list[Row]) -> None:
    """Parameters have no error."""
    store(tmp_path, "one", rows)
    found, _ = read(tmp_path, "params")
    assert [(f.lo, f.value, f.hi) for f in found] == [(float(r.params or 0),) * 3 for r in rows]


def test_of_a_check_only_pairs_of_commits_are_ratios(tmp_path: Path, rows: list[Row]) -> None:
    """Its latencies are of two versions; its ratio needs the commit that it is relative to."""
    both = [rows[0], replace(rows[0], module=f"{rows[0].module}@base")]
    store(tmp_path, "check", both)
    store(tmp_path, "pair", both, against="abc")
    found, _ = read(tmp_path)
    assert [(f.keys.run, f.keys.against) for f in found] == [("pair", "abc")]
    assert read(tmp_path, "latency_us") == ([], [])
    assert [f.keys.run for f in read(tmp_path, "params")[0]] == ["check", "pair"]


def test_a_damaged_run_is_named_and_the_others_are_read(tmp_path: Path, rows: list[Row]) -> None:
    """Half a file, a number that no run writes, and a text where a number belongs."""
    store(tmp_path, "good", rows)
    half = store(tmp_path, "half", rows)
    half.write_bytes(half.read_bytes()[:100])
    store(tmp_path, "wrong", [replace(rows[0], ratio=-1.0)])
    words = store(tmp_path, "words", rows)
    table_frame(rows).assign(ratio="many", run="words").to_parquet(words, index=False)
    found, skipped = read(tmp_path)
    assert {f.keys.run for f in found} == {"good"}
    assert len(skipped) == 3
    assert "half/table.parquet: is damaged, or is not Parquet" in skipped[0]
    assert "words/table.parquet: ratio cannot be" in skipped[1]
    assert "wrong/table.parquet: ratio cannot be" in skipped[2]


def test_a_table_without_keys_takes_them_from_its_run(tmp_path: Path, rows: list[Row]) -> None:
    """Without run.json, such a table is left out."""
    file = store(tmp_path, "old", rows)
    frame = table_frame(rows).drop(columns=["run", "machine", "software", "against", "dirty"])
    frame.to_parquet(file, index=False)
    assert read(tmp_path)[0] == []
    (tmp_path / "old" / "run.json").write_bytes((STORED / "run.json").read_bytes())
    found, skipped = read(tmp_path)
    assert {f.keys.suite for f in found} == {"ge_extents"}
    assert skipped == []
