"""The Python API, as a notebook uses it."""

from __future__ import annotations

import inspect
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
from attn_bench.model.request import RUN_OPTIONS
from attn_bench.model.row import COLUMNS


def test_run_measures_and_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` gives the run that it wrote, and prints nothing."""
    monkeypatch.chdir(tmp_path)
    run = attn_bench.run("smoke", modules="se", device="cpu", budget=1, sessions=1, precision=50)
    assert run.exit_status in (0, 4)  # on a busy machine a time may be unclear
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
    assert repr(run) == "<attn_bench.Run run_schema_2: 57 of 60 cases measured>"
    html = run._repr_html_()
    (row,) = [r for r in run.stored.rows if (r.variant, r.channels) == ("se", 1024)]
    latency = row.interval("latency_us")
    assert latency is not None
    assert units.with_interval(latency.times(1e-3)) in html
    assert "<script" not in html
    assert re.search(r"<strong>[^<]*\*</strong>", html)  # the best of a column


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"suite": "smok"}, "unknown suite 'smok' .did you mean 'smoke'"),
        (
            {"suite": "smoke", "device": "tpu"},
            "run: device='tpu': must be one of cpu, cuda, cuda:INDEX, auto",
        ),
        ({"suite": "smoke", "budget": 0}, "budget=0: must be a number above 0"),
        (
            {"suite": "smoke", "precision": 200},
            "precision=200: must be a number above 0 up to 100 .PERCENT",
        ),
        ({"suite": "smoke", "threads": 0}, "threads=0: must be an integer from 1"),
    ],
)
def test_a_wrong_request_is_an_error(wrong: dict[str, object], message: str) -> None:
    """What the command refuses raises AttnBenchError, before anything is measured."""
    with pytest.raises(attn_bench.AttnBenchError, match=message):
        attn_bench.run(**wrong)  # type: ignore[arg-type]


def test_an_unknown_keyword_is_a_type_error() -> None:
    """A misspelled keyword is refused with the nearest one."""
    with pytest.raises(TypeError, match=r"no keyword 'buget' .did you mean 'budget'"):
        attn_bench.run("smoke", buget=3)  # type: ignore[call-arg]


def test_the_signature_lists_every_option() -> None:
    """`help(attn_bench.run)` and notebooks see every option of the command with its default."""
    shown = inspect.signature(attn_bench.run).parameters
    assert set(shown) == {"progress", *RUN_OPTIONS}
    defaults = {name: shown[name].default for name in RUN_OPTIONS if name != "suite"}
    assert defaults == {name: RUN_OPTIONS[name].default for name in defaults}


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
