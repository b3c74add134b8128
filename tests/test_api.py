"""The Python API, as a notebook uses it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pages import REFERENCE
from program import ROOT, ProgramRun

import attn_bench
from attn_bench.model import units
from attn_bench.model.row import COLUMNS


def test_run_measures_and_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` gives the run that it wrote, and prints nothing."""
    monkeypatch.chdir(tmp_path)
    run = attn_bench.run("smoke", modules="se", device="cpu", budget=1, sessions=1, precision=50)
    assert run.exit_status == 0
    assert list(run.table.module) == ["se", "identity"]
    assert run.path.parent == Path("results")
    assert capfd.readouterr() == ("", "")
    assert attn_bench.load("latest").path == run.path


def test_table_and_samples(smoke: ProgramRun) -> None:
    """The table has a row for each case, by its id, with numbers; the samples are its blocks."""
    run = attn_bench.load(smoke.folder)
    assert [run.table.index.name, *run.table.columns] == list(COLUMNS)
    assert len(run.table) == 9
    for name in ("channels", "params", "latency_us", "ratio", "device_us"):
        assert pd.api.types.is_numeric_dtype(run.table[name]), name
    assert set(run.samples.case_id) == set(run.table.index)
    assert (run.samples.seconds > 0).all()


def test_it_shows_itself() -> None:
    """The short form names the run, the HTML form holds the console's figures and no script."""
    run = attn_bench.load(REFERENCE)
    assert repr(run) == "<attn_bench.Run ge_extents-cpu: 57 of 60 cases measured>"
    html = run._repr_html_()
    (row,) = [r for r in run.stored.rows if (r.variant, r.channels) == ("se", 1024)]
    latency = row.interval("latency_us")
    assert latency is not None
    assert units.with_interval(latency.times(1e-3)) in html
    assert "<script" not in html
    assert re.search(r"<strong>[^<]* ± [^<]*\*</strong>", html)  # the best of a column


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"suite": "smok"}, "unknown suite 'smok' .did you mean 'smoke'"),
        ({"suite": "smoke", "device": "tpu"}, "device='tpu': one of cpu, cuda, auto"),
        ({"suite": "smoke", "budget": 0}, "budget=0: seconds, more than 0"),
        ({"suite": "smoke", "precision": 200}, "precision=200: percent"),
        ({"suite": "smoke", "threads": 0}, "threads=0: 1 or more"),
    ],
)
def test_a_wrong_request_is_an_error(wrong: dict[str, object], message: str) -> None:
    """What the command refuses raises AttnBenchError, before anything is measured."""
    with pytest.raises(attn_bench.AttnBenchError, match=message):
        attn_bench.run(**wrong)  # type: ignore[arg-type]


def test_it_imports_no_torch() -> None:
    """Importing the package is nearly nothing, and reading a run loads no torch."""
    script = f"""
import sys
import attn_bench
assert "pandas" not in sys.modules and callable(attn_bench.run)
attn_bench.load({str(REFERENCE)!r})._repr_html_()
heavy = sorted({{"torch", "timm", "fvcore"}} & set(sys.modules))
sys.exit(str(heavy) if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
