"""Run folders are found again, read as data, and never overwritten."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from program import DATA, ROOT, ProgramRun

from attn_bench.model.errors import RequestError
from attn_bench.model.row import Row
from attn_bench.model.run import Outcome
from attn_bench.store import info as run_json
from attn_bench.store import runs
from attn_bench.store.frames import table_frame
from attn_bench.store.info import SCHEMA
from attn_bench.store.runs import RunFolder


def make(results: Path, *names: str) -> None:
    for name in names:
        folder = results / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"schema": SCHEMA}))


def test_find(tmp_path: Path) -> None:
    """A run is its path, its name, a unique beginning of it, or the latest."""
    make(tmp_path, "20260101T000000Z-smoke-cpu", "20260102T000000Z-smoke-cpu")
    last = tmp_path / "20260102T000000Z-smoke-cpu"
    for name in (str(last), last.name, "20260102", "latest"):
        assert runs.find(name, tmp_path) == last


@pytest.mark.parametrize(
    ("name", "reason"),
    [("2026", "matches 2 runs"), ("20260102T000000Z-smoke-cuda", "did you mean")],
)
def test_find_refuses_what_is_not_one_run(tmp_path: Path, name: str, reason: str) -> None:
    """An ambiguous beginning and an unknown name are refused, with a hint."""
    make(tmp_path, "20260101T000000Z-smoke-cpu", "20260102T000000Z-smoke-cpu")
    with pytest.raises(RequestError, match=reason):
        runs.find(name, tmp_path)


def test_two_runs_of_one_second_have_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run never writes into the folder of another."""
    monkeypatch.chdir(tmp_path)
    now = datetime.now(UTC)
    first, second = (RunFolder.create("smoke", "cpu", now, None) for _ in range(2))
    assert first.path != second.path
    first.close()
    second.close()


def test_rows_come_back_as_they_were(smoke: ProgramRun) -> None:
    """What is read from parquet equals what was written: whole numbers, words and gaps."""
    rows = smoke.stored.rows
    assert {row.extent for row in rows} == {2, "global", None}
    assert all(isinstance(row.params, int) and row.device_us is None for row in rows)
    assert runs.as_csv(rows, runs.COLUMNS) == (smoke.folder / "table.csv").read_text()


def test_an_extent_stays_a_whole_number_beside_a_gap(smoke: ProgramRun, tmp_path: Path) -> None:
    """Extents 2 and 4 and a module without one come back as 2, 4 and None; so does an old 2.0."""
    folder = tmp_path / "run"
    shutil.copytree(smoke.folder, folder)
    rows = [replace(smoke.stored.rows[0], extent=extent) for extent in (2, 4, None)]
    frame = table_frame(rows)
    assert frame["extent"].tolist()[:2] == ["2", "4"]
    for words in (frame, frame.assign(extent=frame["extent"].str.cat(["", ".0", ""]))):
        words.to_parquet(folder / "table.parquet")
        assert [row.extent for row in runs.load(folder).rows] == [2, 4, None]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("run.json", "{", "run.json: cannot be read"),
        ("run.json", '{"schema": 99}', "run.json: schema 99, but this version reads 1 to 3"),
        ("run.json", "[]", "run.json: schema None"),
        ("table.parquet", "no parquet", "table.parquet: is damaged, or is not Parquet"),
        ("table.parquet", None, "is missing, although the run was finished"),
    ],
)
def test_a_damaged_run_is_refused(
    smoke: ProgramRun, tmp_path: Path, name: str, content: str | None, reason: str
) -> None:
    """A file that is missing, cut or of another schema is named, and nothing is guessed."""
    folder = tmp_path / "run"
    shutil.copytree(smoke.folder, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(RequestError, match=reason):
        runs.load(folder)


def test_the_journal_is_on_disk_at_once(tmp_path: Path) -> None:
    """What `keep` was given can be read before the folder is closed."""
    folder = RunFolder.create("smoke", "cpu", datetime.now(UTC), str(tmp_path / "run"))
    folder.keep(Outcome("a", "failed", "why"))
    (line,) = (folder.path / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["outcome"]["error"] == "why"
    folder.close()


def test_markdown_cells_cannot_break_the_table() -> None:
    """A bar or a line break in a reason stays inside its cell."""
    text = runs.as_markdown([Row(case_id="a", error="x | y\nz")], ["case_id", "error"])
    assert text.splitlines()[-1] == r"| a | x \| y\\u000az |"


def test_the_samples_of_an_older_schema_are_read() -> None:
    """A run of schema 2 names its columns otherwise."""
    reference = DATA / "run_schema_2"
    blocks = runs.load_blocks(reference)
    assert len(blocks) > 1000
    assert all(block.first_call_s > 0 for block in blocks)
    info = runs.load(reference).info
    assert (info.schema, info.suite.baseline, info.suite.axes["execution"]) == (
        2,
        "identity",
        ("eager",),
    )


def test_the_reference_run_is_read() -> None:
    """The run that README quotes has rows and blocks for this version."""
    reference = ROOT / "results" / "reference" / "ge_extents-cpu"
    assert len(runs.load(reference).rows) > 50
    assert len(runs.load_blocks(reference)) > 1000


def test_run_json_of_schema_1_is_read(tmp_path: Path) -> None:
    """A run.json of the first schema has its baseline, its axes and its settings."""
    (tmp_path / "run.json").write_bytes((DATA / "run_schema_1.json").read_bytes())
    info = run_json.read(tmp_path)
    assert (info.schema, info.kind, info.state) == (1, "run", "finished")
    assert info.suite.baseline == "identity"
    assert info.suite.axes == {
        "dtype": ("float32",),
        "memory_format": ("contiguous",),
        "mode": ("inference",),
        "execution": ("eager",),
    }
    assert info.settings.sessions == 5
    assert info.rates["float32"].macs_per_s > 0
    run_json.write(tmp_path, info)
    assert run_json.read(tmp_path) == replace(info, schema=SCHEMA)


def test_what_is_missing_in_a_folder_is_named(smoke: ProgramRun, tmp_path: Path) -> None:
    """A finished run without its table cannot be resumed; a folder without run.json is no run."""
    folder = tmp_path / "run"
    shutil.copytree(smoke.folder, folder)
    (folder / "table.parquet").unlink()
    with pytest.raises(RequestError, match=r"table\.parquet: is missing, although the run was fin"):
        runs.load(folder)
    (folder / "run.json").unlink()
    with pytest.raises(RequestError, match=r"its run\.json is missing"):
        runs.find(str(folder), tmp_path)
