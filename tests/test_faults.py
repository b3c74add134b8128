"""Modules that misbehave cost their own row, and the run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import Cli, ProgramRun

BROKEN_SUITE = """
title = "nothing works"
anchor = "timm/ge"
budget = 1

[[grid]]
module = "timm/ge"

[shapes]
stages = [[8, 4, 4]]
"""


def test_one_bad_module_does_not_cost_the_others(misbehaving: ProgramRun) -> None:
    """Status 3, a row for each module, and the good one measured."""
    assert misbehaving.process.returncode == 3
    rows = {row.module: row for row in misbehaving.stored.rows}
    assert len(rows) == 13
    assert rows["good"].status == rows["identity"].status == "ok"
    assert rows["good"].ratio is not None


@pytest.mark.parametrize(
    ("module", "status", "reason"),
    [
        ("bad_constructor", "failed", "constructor: ValueError: no such width"),
        ("bad_forward", "failed", "forward: RuntimeError: forward is broken"),
        ("bad_backward", "failed", "backward: RuntimeError: backward is broken"),
        ("other_shape", "failed", "forward: returned shape (2, 8, 1, 1), not the input's (2, 8, 6"),
        ("not_a_number", "failed", "forward: returned NaN or infinity for a finite input"),
        ("in_place", "failed", "in-place operation"),
        ("no_tensor", "failed", "forward: returned tuple, not a tensor"),
        ("for_ever", "timeout", "no answer within 10 s"),
        ("crash", "failed", "the worker process was killed by SIGSEGV"),
        ("too_large", "out_of_memory", "can't allocate memory"),
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
    """Its error is told in one line, with status 2."""
    (tmp_path / "mine.py").write_text("import attn_bench\nraise ValueError('half done')\n")
    done = cli("run", "--suite", "smoke", "--modules-from", "mine.py")
    assert done.returncode == 2
    assert "loading modules: ValueError: half done" in done.stderr
