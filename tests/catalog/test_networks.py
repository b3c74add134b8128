"""Whole networks: from the suite's words to the table, beside the plain backbone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from inside import inside
from program import Cli, ProgramRun, program_run

from attn_bench.catalog.backbones import Place
from attn_bench.catalog.registry import builtin
from attn_bench.model.case import Network, Shape
from attn_bench.model.errors import RequestError
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan
from attn_bench.store import runs

TINY = """\
title = "tiny"
backbone = "resnet18"
input = 64
place = ["block", "stage 3,4"]
mode = ["inference", "training"]
leave_out = "(mode == 'training' or place != 'block') and module != 'se'"
batch = 2
budget = 40
precision = 40
sessions = 2

[[grid]]
module = ["se", "ge_theta_minus"]

[[grid]]
module = "ge_theta"
extent = [[8, 4, 2, "global"]]
"""


def parse(text: str) -> suite_file.Suite:
    return suite_file.parse(text, builtin(), name="t", source="t.toml")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ProgramRun:
    """A run of ResNet-18 at 64×64: its counts are real, its times a script's."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    text = TINY.replace(
        "module != 'se'", "module != 'se' or mode == 'training' and place != 'block'"
    )
    (folder / "tiny.toml").write_text(text, encoding="utf-8")
    words = ("--suite", "tiny.toml", "--device", "cpu", "--threads", "1")
    return program_run(folder, *words, by=inside)


def test_a_suite_names_networks() -> None:
    """Every module goes into every backbone at every place, for images of every size."""
    parsed = parse(TINY)
    assert parsed.networks == (Network("resnet18"), Network("resnet18", "stage 3,4"))
    assert parsed.images == (Shape(2, 3, 64, 64),)
    assert parsed.shapes == ()


def test_ids_of_networks_and_their_baseline() -> None:
    """A network's id names backbone, place and variant; its baseline is the plain backbone."""
    plan = make_plan(parse(TINY), "cpu", where="mode == 'inference'")
    ids = [case.id.partition("/2x3x64x64/")[0] for case in plan.cases]
    assert ids == [
        "resnet18+se",
        "resnet18:stage 3,4+se",
        "resnet18+ge_theta_minus",
        "resnet18+ge_theta(extent=8-4-2-global)",
        "resnet18",
    ]
    assert {plan.baseline_of[case.id] for case in plan.cases} == {plan.cases[-1].id}


def test_modules_and_networks_in_one_suite() -> None:
    """A suite with shapes and a backbone measures its modules alone, and in the network."""
    both = TINY.replace('extent = [[8, 4, 2, "global"]]', "extent = 2")
    plan = make_plan(parse(both + "[shapes]\nstages = [[64, 16, 16]]\n"), "cpu")
    alone = [case for case in plan.cases if case.network is None]
    assert {plan.baseline_of[case.id].partition("/")[0] for case in alone} == {"identity"}
    assert len(alone) < len(plan.cases)
    assert {case.shape for case in alone} == {Shape(1, 64, 16, 16)}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"resnet18"', '"resnet81"', "t.toml:2: backbone: unknown backbone 'resnet81' (did you"),
        ('"resnet18"', '"convnext_tiny"\nplace = "slot"', "convnext_tiny has no attention slot"),
        ('"stage 3,4"', '"stge 3"', "unknown place 'stge' (did you mean 'stage'?)"),
        ('"stage 3,4"', '"stage 5"', "t.toml:4: place: resnet18 has stages 1 to 4, not 5"),
        ('"stage 3,4"', '"stage x"', "'x' is not a list of stages"),
        ("8, 4, 2,", "8, 4,", "extent: 3 extents, but resnet18 has 4 stages"),
        ("8, 4, 2,", "8, 6, 2,", "extent 6 is not a power of two (4 or 8?)"),
        ("input = 64", "input = 16", "input: "),
        ('backbone = "resnet18"\n', "", "shapes: is missing (or backbone"),
        ('backbone = "resnet18"\n', "[shapes]\nstages = [[64, 9, 9]]\n", "unknown key 'input'"),
    ],
)
def test_complaints(old: str, new: str, expected: str) -> None:
    """What is wrong with a network is told in one line, with the nearest right thing."""
    text = TINY.replace(old, new)
    if "slot" in new:
        text = text.replace('place = ["block", "stage 3,4"]\n', "")
    with pytest.raises(RequestError) as caught:
        parse(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_extent_a_stage_needs_stages() -> None:
    """A list in the list is refused where the suite has shapes."""
    with pytest.raises(RequestError, match="one extent for each stage of a network"):
        parse(TINY + "[shapes]\nstages = [[64, 16, 16]]\n")


def test_places_are_read() -> None:
    """A place is a word, and the stages that it is in."""
    assert Place.read("inner 2-4").stages == (2, 3, 4)
    assert Place.read("slot").stages is None


def test_every_metric_is_of_the_whole_network(tiny: ProgramRun) -> None:
    """Parameters, work, memory, latency and the paired ratio are there, and exceed the plain's."""
    assert tiny.process.returncode == 0, tiny.process.stderr
    rows = {row.case_id: row for row in tiny.stored.rows}
    for row in rows.values():
        assert (row.status, row.backbone) == ("ok", "resnet18")
        assert row.params >= 11_689_512
        assert row.macs > 2 * 100e6  # ResNet-18 takes 1.8 G at 224, a twelfth of that at 64
        assert row.macs_fvcore > row.macs
        assert row.bytes_min > 4 * row.params
        assert None not in (row.latency_us, row.ratio, row.peak_memory_bytes, row.bound_us)
    plain, with_se = (
        rows[f"resnet18{variant}/2x3x64x64/float32/contiguous/inference/eager/cpu"]
        for variant in ("", "+se")
    )
    assert (plain.params, plain.variant, plain.place) == (11_689_512, "plain", None)
    per_block = 2 * sum(2 * c * (c // 16) + c + c // 16 for c in (64, 128, 256, 512))
    assert with_se.params - plain.params == per_block
    assert with_se.place == "block"
    assert with_se.elementwise_ops > plain.elementwise_ops
    assert (plain.ratio, plain.ratio_lo) == (1.0, 1.0)


def test_the_summary_is_of_changes(tiny: ProgramRun) -> None:
    """The console gives the plain backbone in its units and each network as what it adds."""
    told = tiny.process.stdout
    assert "resnet18 2×3×64×64" in told
    assert "resnet18 2×3×64×64 training" in told
    line = next(line for line in told.splitlines() if line.startswith("se ") and "adds" not in line)
    assert "±" in line
    assert "+0.8 %" in line  # of parameters
    assert "8-4-2-global" in told
    assert "stage 3,4" in told


def test_training_a_network_counts_its_gradients(tiny: ProgramRun) -> None:
    """A step of training moves twice the bytes of inference."""
    by_mode = {
        row.mode: row for row in tiny.stored.rows if row.variant == "se" and row.place == "block"
    }
    assert by_mode["training"].bytes_min == 2 * by_mode["inference"].bytes_min


def test_runs_from_before_there_were_networks_are_read(tiny: ProgramRun, tmp_path: Path) -> None:
    """A stored run of schema 1, whose table has two columns less, is read with these empty."""
    info = json.loads((tiny.folder / "run.json").read_text(encoding="utf-8"))
    (tmp_path / "run.json").write_text(json.dumps({**info, "schema": 1}), encoding="utf-8")
    table = pd.read_parquet(tiny.folder / "table.parquet")
    table.drop(columns=["backbone", "place"]).to_parquet(tmp_path / "table.parquet")
    stored = runs.load(tmp_path)
    assert stored.rows
    assert {(row.backbone, row.place) for row in stored.rows} == {(None, None)}


def test_a_run_of_networks_can_be_compared_with_itself(
    tiny: ProgramRun, tmp_path: Path, cli: Cli
) -> None:
    """`compare` pairs the networks of two runs by their ids, and calls none of them changed."""
    answer = tmp_path / "compared.json"
    compared = cli(
        "compare",
        str(tiny.folder),
        str(tiny.folder),
        "--json",
        str(answer),
        "--tolerance",
        "latency=200",
    )
    assert compared.returncode == 0, compared.stderr
    findings = json.loads(answer.read_text(encoding="utf-8"))["findings"]
    measured = {row.case_id for row in tiny.stored.rows}
    assert {finding["case_id"] for finding in findings} == measured
    timed = [finding for finding in findings if finding["times"] is not None]
    assert len(timed) == len(measured) - 2  # all but the plain ones
    assert {finding["verdict"] for finding in findings} == {"same"}


def test_networks_are_checked_against_a_stored_run(tiny: ProgramRun, tmp_path: Path) -> None:
    """`check --baseline` on networks compares exact metrics and time, and finds nothing changed."""
    answer = tmp_path / "check.json"
    done = inside(
        *("check", "--suite", str(tiny.folder.parent.parent / "tiny.toml"), "--device", "cpu"),
        *("--baseline", str(tiny.folder), "--threads", "1", "--budget", "10"),
        *("--where", "module == 'se' and place == 'block' and mode == 'inference'"),
        *("--tolerance", "latency=30", "--json", str(answer)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(answer.read_text(encoding="utf-8"))
    (finding,) = [f for f in content["findings"] if f["module"] == "se"]
    assert finding["verdict"] == "same"
    assert finding["times"] is not None
