"""Modules that misbehave cost their own row, and the run goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pages import page_of
from program import Cli, ProgramRun

from attn_bench.store import runs

BROKEN_SUITE = """
title = "nothing works"
baseline = "timm/ge"
budget = 1
sessions = 1

[[grid]]
module = "timm/ge"

[shapes]
stages = [[8, 4, 4]]
"""


def test_one_bad_module_does_not_cost_the_others(misbehaving: ProgramRun) -> None:
    """Status 3, a row for each module, and the good one measured."""
    assert misbehaving.process.returncode == 3
    rows = {row.module: row for row in misbehaving.stored.rows}
    assert len(rows) == 15
    for name in ("good", "identity"):
        assert rows[name].status in ("ok", "unclear")  # on a busy machine a time may be unclear
        assert rows[name].rounds > 100  # type: ignore[operator]


@pytest.mark.parametrize(
    ("module", "status", "reason"),
    [
        ("bad_constructor", "failed", "constructor: ValueError: no such width"),
        ("bad_forward", "failed", "forward: RuntimeError: forward is broken"),
        ("bad_backward", "failed", "backward: RuntimeError: backward is broken"),
        ("other_shape", "failed", "forward: returned shape (2, 8, 1, 1), not the input's (2, 8, 6"),
        ("not_a_number", "failed", "forward: returned NaN or infinity for a finite input"),
        ("in_place", "failed", "in-place operation"),
        ("through_data", "failed", "forward: changed its input in place"),
        ("no_tensor", "failed", "forward: returned tuple, not a tensor"),
        ("for_ever", "timeout", "no answer within 6 s"),
        ("crash", "failed", "the worker process was killed by SIGSEGV"),
        ("too_large", "out_of_memory", "can't allocate memory"),
        ("greedy", "out_of_memory", "can't allocate memory"),
        ("late", "failed", "call: RuntimeError: broken after a while"),
    ],
)
def test_each_fault_has_its_status_and_reason(
    misbehaving: ProgramRun, module: str, status: str, reason: str
) -> None:
    """The row says what happened, in one line, and no figure stands in for a missing one."""
    (row,) = (row for row in misbehaving.stored.rows if row.module == module)
    assert row.status == status
    assert reason in (row.error or "")
    assert "\n" not in (row.error or "")
    if module != "late":
        assert row.latency_us is None
        assert row.params is None


def test_the_console_names_every_fault(misbehaving: ProgramRun) -> None:
    """What could not be measured is told below the table, with its reason."""
    for row in misbehaving.stored.rows:
        if row.status != "ok":
            assert f"{row.status}: {row.case_id}: {row.error}" in misbehaving.process.stdout


def test_nothing_measured_is_never_success(cli: Cli, tmp_path: Path) -> None:
    """A run whose every case fails ends with status 3, with its table written."""
    (tmp_path / "bad.toml").write_text(BROKEN_SUITE)
    done = cli("run", "--suite", "bad.toml", "--out", "run")
    assert done.returncode == 3
    assert "failed: timm/ge/1x8x4x4" in done.stdout
    assert (tmp_path / "run" / "table.csv").is_file()


def test_a_users_file_that_raises(cli: Cli, tmp_path: Path) -> None:
    """Its error is told in one line with file and line, and status 2."""
    (tmp_path / "mine.py").write_text("import attn_bench\nraise ValueError('half done')\n")
    done = cli("run", "--suite", "smoke", "--modules-from", "mine.py")
    assert done.returncode == 2
    assert "mine.py:2: ValueError: half done" in done.stderr


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def broken(:\n", "mine.py:1: SyntaxError"),
        ("import sys\nsys.exit(3)\n", "mine.py:2: SystemExit: 3"),
        ("x = 1\n", "mine.py: registers no module"),
        (
            "from attn_bench import register\nregister('a b')(int)\n",
            "mine.py:2: ValueError: register",
        ),
        (
            "from attn_bench import register\nregister('se')(int)\n",
            "already registered by built-in",
        ),
    ],
)
def test_a_users_file_that_is_no_use(cli: Cli, tmp_path: Path, source: str, expected: str) -> None:
    """Whatever is wrong with it is told in one line, and nothing is measured."""
    (tmp_path / "mine.py").write_text(source)
    done = cli("run", "--suite", "smoke", "--modules-from", "mine.py")
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_entry_point_costs_only_itself(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that cannot be imported does not stop a run that does not need it."""
    info = tmp_path / "site" / "their_attn-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-attn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[attn_bench.modules]\ntheirs = no_such_module:X\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    words = ("run", "--suite", "smoke", "--where", "extent == 2", "--out", "run")
    assert cli(*words).returncode == 0


def test_variants_that_print_alike_are_two(cli: Cli, tmp_path: Path) -> None:
    """Arguments 1, 1.0, true and "1" are four variants with four rows."""
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom attn_bench import register\n"
        "@register('mine')\nclass Mine(nn.Identity):\n"
        "    def __init__(self, channels, a): super().__init__()\n"
        "    def forward(self, x): return x.clone()\n"
    )
    (tmp_path / "mine.toml").write_text(
        'title = "t"\n[[grid]]\nmodule = "mine"\narguments = { a = [1, 1.0, true, "1"] }\n'
        "[shapes]\nstages = [[8, 4, 4]]\n"
    )
    done = cli("run", "--suite", "mine.toml", "--modules-from", "mine.py", "--dry-run")
    labels = [line.partition("/")[0] for line in done.stdout.splitlines()[:4]]
    assert labels == ["mine(a=1)", "mine(a=1.0)", "mine(a=True)", "mine(a='1')"]


def test_the_page_names_every_fault(misbehaving: ProgramRun, tmp_path: Path) -> None:
    """The page of a run whose modules misbehave shows each reason."""
    folder = shutil.copytree(misbehaving.folder, tmp_path / "run")
    page = page_of(runs.load(folder))
    for row in misbehaving.stored.rows:
        assert not row.error or " ".join(row.error.split()) in " ".join(page.words.split())
