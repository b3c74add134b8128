"""`verify FILE.py:CLASS --as NAME`: twelve right classes agree, and the faults have their reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inside import inside
from program import DATA, Cli

FILE = DATA / "foreign_modules.py"
RIGHT = [
    ("LinearSE", "se", ""),
    ("LinearSE", "se(rd_ratio=0.25)", "reduction=4"),
    ("FunctionalSE", "se", ""),
    ("OfficialCBAM", "cbam", ""),
    ("OtherBAM", "bam", ""),
    ("AdaptiveECA", "eca", ""),
    ("PooledGE", "ge_theta_minus(extent=4)", ""),
    ("LearnedGE", "ge_theta(extent=4)", ""),
    ("GlobalGEPlus", "ge_theta_plus", ""),
    ("ContextBlock", "gc", ""),
    ("CoordAtt", "coord", ""),
    ("Triplet", "triplet", ""),
    ("Simam", "simam", ""),
]
FAULTY = [
    ("LinearSE", "se", "fault='twice'", "the sigmoid is applied twice"),
    ("LinearSE", "se", "fault='relu'", "the ReLU is missing"),
    ("FunctionalSE", "se", "squeeze_factor=8", "the ratio is 1/8, not 1/16"),
    ("OfficialCBAM", "cbam", "fault='residual'", "x1 + x1 ⊙ gate"),
    ("OfficialCBAM", "cbam", "fault='no maximum'", "the max-pool branch of the channel gate is"),
    ("OtherBAM", "bam", "fault='added'", "the branches are added, not multiplied"),
    ("OtherBAM", "bam", "fault='norm'", "a norm is missing: channel.2"),
    ("AdaptiveECA", "eca", "fault='kernel'", "at 256 channels: the kernel size is 3, not 5"),
    ("PooledGE", "ge_theta_minus(extent=4)", "fault='padded'", "the mean counts zeros around"),
    ("LearnedGE", "ge_theta(extent=4)", "fault='bilinear'", "interpolated bilinearly"),
    ("GlobalGEPlus", "ge_theta_plus", "fault='relu'", "the ReLU before the MLP is missing"),
    ("ContextBlock", "gc", "fault='softmax'", "the softmax is over the channels"),
    ("CoordAtt", "coord", "fault='axis'", "the gate of the rows is on the columns"),
    ("Triplet", "triplet", "fault='sum'", "the branches are added, and not divided by 3"),
    ("Simam", "simam", "fault='variance'", "the variance is divided by H·W, not by H·W − 1"),
]


def compared(folder: Path, name: str, model: str, *words: str, by: Cli = inside) -> dict[str, Any]:
    """The answer as JSON, after its status was held to its exit status."""
    done = by("verify", f"{FILE}:{name}", "--as", model, *words, "--json", "a.json", cwd=folder)
    assert (folder / "a.json").exists(), done.stderr
    answer: dict[str, Any] = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    assert done.returncode == answer["exit_status"]
    return {**answer, "stdout": done.stdout}


@pytest.mark.parametrize(("name", "model", "arguments"), RIGHT)
def test_a_right_class_agrees(tmp_path: Path, name: str, model: str, arguments: str) -> None:
    """Whatever the names of its parameters, the formula holds; the status is 0."""
    answer = compared(tmp_path, name, model, "--args", arguments)
    assert (answer["verdict"], answer["reasons"]) == ("agrees", [])
    assert answer["exit_status"] == 0


@pytest.mark.parametrize(("name", "model", "arguments", "reason"), FAULTY)
def test_a_fault_has_its_reason(
    tmp_path: Path, name: str, model: str, arguments: str, reason: str
) -> None:
    """A planted fault is the one reason; the status is 1."""
    answer = compared(tmp_path, name, model, "--args", arguments)
    assert answer["exit_status"] == 1
    (only,) = answer["reasons"]
    assert reason in only
    assert f"    {only}\n" in answer["stdout"]
