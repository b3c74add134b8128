"""`recommend`: measuring, reusing, refusing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from inside import RealFacts, inside, steady
from program import Cli

from attn_bench.catalog import code
from attn_bench.jobs.recommend.recommend import _good_enough
from attn_bench.jobs.recommend.reuse import Here, find_stored
from attn_bench.model.case import Case, Network, Shape, Variant
from attn_bench.model.request import RunRequest
from attn_bench.model.run import Settings
from attn_bench.store import info as run_json
from attn_bench.store import runs

SUITE = """\
title = "few"
backbone = "resnet18"
budget = 30
precision = 30
sessions = 2

[[grid]]
module = ["se", "simam", "broken"]

[[grid]]
module = "ge_theta_minus"
extent = ["global", 8]
"""
BROKEN = """\
from attn_bench import register


@register("broken")
def broken(channels):
    raise RuntimeError("not today")
"""
WORDS = (
    *("recommend", "--suite", "few.toml", "--backbone", "resnet18", "--input", "64"),
    *("--threads", "1", "--device", "cpu", "--max-params", "+5%"),
)
GOOD = ("--modules", "se,simam,ge_*")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite of good candidates that has been chosen from once."""
    folder = tmp_path_factory.mktemp("recommend")
    (folder / "few.toml").write_text(SUITE.replace(', "broken"', ""), encoding="utf-8")
    done = inside(*WORDS, "--json", "first.json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def answer(folder: Path, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def test_the_first_answer_is_measured(place: Path) -> None:
    """From nothing it measures each candidate at its paper's place, beside the plain backbone."""
    (run,) = sorted((place / "results").iterdir())
    rows = {row.variant: row for row in runs.load(run).rows}
    assert rows.keys() == {
        *("plain", "se", "simam", "ge_theta_minus(extent=global)", "ge_theta_minus(extent=8)")
    }
    assert (rows["simam"].place, rows["se"].place) == ("inner", "block")
    assert {row.height for row in rows.values()} == {64}
    assert answer(place, "first.json")["chosen"] is not None
    assert run.name.endswith("-recommend-resnet18-cpu")


def test_the_second_answer_is_the_same_and_measures_nothing(place: Path) -> None:
    """From stored runs the same is said without a worker or a new run folder."""
    before = sorted((place / "results").iterdir())
    script = RealFacts(steady)
    done = inside(*WORDS, "--json", "second.json", cwd=place, script=script)
    assert done.returncode == 0, done.stderr
    assert sorted((place / "results").iterdir()) == before
    first, second = answer(place, "first.json"), answer(place, "second.json")
    assert first["chosen"] == second["chosen"]
    assert first["candidates"] == second["candidates"]
    assert second["reused"] == {before[0].name: 5}
    assert "starting" not in done.stderr
    assert not script.workers


def test_only_what_is_missing_is_measured(place: Path, tmp_path: Path) -> None:
    """A candidate more costs its own measurement, and no other's; another input size costs all."""
    (place / "more.toml").write_text(
        SUITE.replace('"broken"', '"timm/eca"').replace("budget = 30", "budget = 12"), "utf-8"
    )
    words = [word.replace("few.toml", "more.toml") for word in WORDS]
    done = inside(*words, "--json", str(tmp_path / "more.json"), cwd=place)
    assert done.returncode == 0, done.stderr
    newest = runs.load(runs.find("latest", place / "results"))
    assert {row.variant for row in newest.rows} == {"plain", "timm/eca"}
    assert sum(answer(tmp_path, "more.json")["reused"].values()) == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sources", {"attn_bench.modules": "0123"}),
        ("sources", {}),
        ("state", "interrupted"),
        ("request", RunRequest("few", threads=2)),
        ("request", RunRequest("few", threads=1, modules_from=("mine.py",))),
        ("request", None),
        ("kind", "check"),
        ("schema", 1),
        ("threads", None),
        ("software", {"torch": "1.0"}),
        ("fingerprint", "0123"),
    ],
)
def test_what_does_not_hold_is_not_reused(place: Path, tmp_path: Path, key, value) -> None:
    """A run of other code, machine, software or threads, or one that was cut off, is left alone."""
    info = run_json.read(sorted((place / "results").iterdir())[0])
    here = Here("cpu", 1, "huge", code.digest_declared())
    assert here.holds(info)
    in_environment = hasattr(info.environment, key)
    part = replace(info.environment if in_environment else info, **{key: value})
    assert not here.holds(replace(info, environment=part) if in_environment else part)


@pytest.mark.parametrize(
    "columns",
    [
        {"ratio": float("inf")},
        {"ratio": -1.0, "ratio_lo": -1.1, "ratio_hi": -0.9},
        {"ratio_lo": 2.0},
        {"latency_us": float("nan")},
        {"params": -5},
        {"backbone": None},
        {"place": "stage"},
        {"variant": "se"},
    ],
)
def test_a_row_that_no_measurement_gives_is_not_reused(place: Path, monkeypatch, columns) -> None:
    """Figures that cannot be, and columns that are not those of the case, are left alone."""
    monkeypatch.chdir(place)
    run = runs.load(runs.find("latest"))
    (row,) = [row for row in run.rows if row.variant == "timm/eca"]
    case = Case(Variant("timm/eca"), Shape(1, 3, 64, 64), network=Network("resnet18"))
    monkeypatch.setattr(runs, "load", lambda path: replace(run, rows=[row]))
    assert find_stored(
        {case.id: case}, Here("cpu", 1, "huge", code.digest_declared()), lambda *_: True
    ).keys() == {case.id}
    monkeypatch.setattr(runs, "load", lambda path: replace(run, rows=[replace(row, **columns)]))
    assert not find_stored(
        {case.id: case}, Here("cpu", 1, "huge", code.digest_declared()), lambda *_: True
    )


def test_more_time_measures_again(place: Path) -> None:
    """What is not precise enough for what is asked now, and was measured for less, is measured."""
    settings = Settings(60, 0.001, 2, 0, 1, 60)
    run = runs.load(runs.find("latest", place / "results"))
    (row,) = [row for row in run.rows if row.variant == "timm/eca"]
    assert not _good_enough(settings)(row, run)
    assert _good_enough(replace(settings, precision=0.9))(row, run)
    assert _good_enough(replace(settings, most_ratio=100.0))(row, run)  # it is surely below
    told = replace(run.info, settings=replace(run.info.settings, budget_s=60, precision=0.001))
    assert _good_enough(settings)(row, replace(run, info=told))


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path, monkeypatch) -> None:
    """Whoever comes second takes another name, and overwrites nothing."""
    monkeypatch.chdir(tmp_path)
    now = datetime.now(UTC)
    first, second = (runs.RunFolder.create("s", "cpu", now, None).path for _ in range(2))
    assert first != second
    assert second.name == f"{first.name}-2"


def test_a_broken_candidate_costs_itself(cli: Cli, tmp_path: Path) -> None:
    """A module that cannot be built is named with its reason, and the command ends with 3."""
    (tmp_path / "few.toml").write_text(SUITE.replace("budget = 30", "budget = 8"), "utf-8")
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    done = cli(*WORDS, "--modules", "se,broken", "--modules-from", "broken.py")
    assert done.returncode == 3, done.stderr
    assert "RuntimeError: not today" in done.stdout
    assert "Take " in done.stdout or "Nothing keeps" in done.stdout


def test_a_stage_alone(cli: Cli) -> None:
    """For one stage, costs are copies of the input; an extent beyond the map is ruled out."""
    done = cli(
        *("recommend", "--shape", "64x7x7", "--batch", "2", "--modules", "ge_theta_minus,se"),
        *("--max-params", "1k", "--budget", "6", "--threads", "1", "--device", "cpu"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "×" in done.stdout
    assert "extent 8 is larger than the 7×7 map" in done.stdout
    assert "of ResNet-50 as a whole" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--backbone NAME, or --shape"),
        (("--backbone", "resnet50", "--shape", "1x2x3"), "--backbone NAME, or --shape"),
        (("--backbone", "resnet5"), "did you mean 'resnet50'?"),
        (("--backbone", "resnet50", "--place", "blok"), "did you mean 'block'?"),
        (("--backbone", "convnext_tiny", "--place", "slot"), "no attention slot"),
        (("--backbone", "resnet50", "--suite", "papers"), "no modules to choose from"),
        (("--backbone", "resnet50", "--suite", "nope"), "unknown suite"),
        (("--backbone", "resnet50", "--modules", "nope"), "matches no module"),
        (("--backbone", "resnet50", "--max-latency", "10%"), "(did you mean +10%?)"),
        (("--backbone", "resnet50", "--json", "no/such/folder.json"), "cannot be written"),
        (("--backbone", "resnet50", "--modules-from", "no.py"), "file not found"),
        (("--shape", "64x0x8"), "channels x height x width"),
        (("--shape", "999999x99999x99999"), "is too large"),
        (("--shape", "64x8x8", "--place", "block"), "--place needs --backbone"),
        (("--shape", "64x8x8", "--max-params", "+10%"), "a copy of the input has no params"),
        (("--shape", "256x8x8", "--suite", "ge_implementations"), "must share their conditions"),
        (("--shape", "64x8x8", "--suite", "resnet50"), "but this suite has shapes"),
    ],
)
def test_bad_requests(cli: Cli, words: tuple[str, ...], said: str) -> None:
    """Each gets one line, and status 2, before anything is measured."""
    done = cli("recommend", "--device", "cpu", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
