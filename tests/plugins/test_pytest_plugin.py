"""pytest and pytest-benchmark, the real programs, read what we give them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from program import Cli, ProgramRun


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if "XDIST" not in name},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_every_case_is_a_test(tmp_path: Path) -> None:
    """--attn-suite smoke: nine passed, timed by pytest-benchmark, with the exact metrics kept."""
    done = run_pytest(
        tmp_path,
        *("--attn-suite", "smoke", "--attn-device", "cpu", "--benchmark-json", "out.json"),
        *("--benchmark-min-rounds", "3", "--benchmark-max-time", "0.05"),
    )
    assert "9 passed" in done.stdout, done.stdout
    benchmarks = json.loads((tmp_path / "out.json").read_text())["benchmarks"]
    se = next(b for b in benchmarks if b["name"].startswith("test_case[se/"))
    assert se["extra_info"]["params"] == 580
    assert se["stats"]["median"] > 0


def test_an_unknown_suite_is_one_line(tmp_path: Path) -> None:
    """pytest ends with its usage status, and the nearest name."""
    done = run_pytest(tmp_path, "--attn-suite", "smok")
    assert done.returncode == 4
    assert "did you mean 'smoke'?" in done.stdout + done.stderr


def test_pytest_benchmark_reads_our_runs(smoke: ProgramRun, tmp_path: Path, cli: Cli) -> None:
    """`pytest-benchmark compare` prints a stored run beside itself, with every case."""
    shown = cli("show", str(smoke.folder), "--format", "pytest-benchmark")
    (tmp_path / "one.json").write_text(shown.stdout)
    (tmp_path / "two.json").write_text(shown.stdout)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("pytest-benchmark")),
            "compare",
            "one.json",
            "two.json",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ge_theta_plus(extent=global)/2x64x16x16") == 2


def test_run_writes_the_format_too(cli: Cli, tmp_path: Path) -> None:
    """run --format pytest-benchmark leaves the file in the run folder."""
    words = ("--suite", "smoke", "--modules", "se")
    done = cli("run", *words, "--out", "run", "--format", "pytest-benchmark")
    assert done.returncode == 0, done.stderr
    names = [
        b["name"]
        for b in json.loads((tmp_path / "run" / "pytest-benchmark.json").read_text())["benchmarks"]
    ]
    assert len(names) == 2


MARKED = """\
import pytest

@pytest.mark.attn_baseline("same", modules="se")
def test_same():
    pass

@pytest.mark.attn_baseline("lighter", modules="se")
def test_grown():
    pass
"""


def test_a_test_held_to_a_baseline(smoke: ProgramRun, tmp_path: Path) -> None:
    """The marker fails a test when an exact metric has grown, and names the metric."""
    import pandas as pd

    for name, params in (("same", 580), ("lighter", 579)):
        baseline = Path(shutil.copytree(smoke.folder, tmp_path / name))
        table = pd.read_parquet(baseline / "table.parquet")
        table.loc[table["module"] == "se", "params"] = params
        table.to_parquet(baseline / "table.parquet")
    (tmp_path / "test_mine.py").write_text(MARKED)
    done = run_pytest(tmp_path, "test_mine.py")
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "FAILED test_mine.py::test_grown" in done.stdout
    assert "params 579 → 580 (+1, +0.2 %): too much" in done.stdout
