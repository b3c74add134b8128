"""The published networks: our counts beside the papers', to the digit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from inside import inside
from program import ProgramRun, program_run

from attn_bench.catalog.backbones import BACKBONES, Place
from attn_bench.papers import reproduction
from attn_bench.papers.published import fits, load, read_links

GE_PAPER = "Gather-Excite arXiv:1810.12348 ResNet-50"


@pytest.fixture(scope="session")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> ProgramRun:
    """`run --suite papers` for the ResNet-50s of SE, GE and CBAM."""
    where = (
        "backbone == 'resnet50_caffe' and place == 'block' and "
        "variant in ['se', 'cbam', 'ge_theta_minus(extent=global)', "
        "'ge_theta(extent=global)', 'ge_theta_plus(extent=global)'] or "
        "backbone == 'resnet50' and module in ['se', 'cbam', 'ge_theta_minus', "
        "'ge_theta', 'ge_theta_plus']"
    )
    return program_run(
        tmp_path_factory.mktemp("papers"),
        *("--suite", "papers", "--where", where, "--device", "cpu", "--threads", "1"),
        by=inside,
    )


def comparisons(run: ProgramRun) -> list[reproduction.Comparison]:
    return reproduction.compare(run.stored.rows, run.stored.info.operations, "cpu")


def test_every_count_of_the_six_networks_is_a_match(rebuilt: ProgramRun) -> None:
    """Parameters, with statistics, MACs and fvcore's total of ResNet-50 and its five variants."""
    assert rebuilt.process.returncode == 0, rebuilt.process.stdout
    found = [one for one in comparisons(rebuilt) if len(one.figures) == 4]
    assert len(found) == 6
    assert {figure.verdict for one in found for figure in one.figures} == {"match"}
    ge_theta = next(one for one in found if "ge_theta(" in one.model)
    assert [figure.ours for figure in ge_theta.figures] == [
        *("31106600", "31.190", "3.8635", "4.1170")
    ]


def test_what_the_papers_print_of_them_is_a_match(rebuilt: ProgramRun) -> None:
    """The rows of the GE and CBAM papers are ours in each digit that they print."""
    wanted = (GE_PAPER, "CBAM arXiv")
    found = [one for one in comparisons(rebuilt) if one.source.startswith(wanted)]
    assert len(found) == 5 + 3
    assert {figure.verdict for one in found for figure in one.figures} == {"match"}
    assert {one.provenance for one in found} == {"recalled"}
    assert "31.2 (recalled)" in rebuilt.process.stdout
    assert "not rebuilt: " in rebuilt.process.stdout


def test_nothing_is_timed(rebuilt: ProgramRun) -> None:
    """Rows are ok without a latency, and no block was measured."""
    assert {row.status for row in rebuilt.stored.rows} == {"ok"}
    assert {row.latency_us for row in rebuilt.stored.rows} == {None}


def test_a_count_that_is_off_differs(rebuilt: ProgramRun) -> None:
    """With one percent more MACs and parameters no figure of ours is the paper's any more."""
    worse = [
        replace(row, params=round(row.params * 1.01), macs=round(row.macs * 1.01))
        for row in rebuilt.stored.rows
    ]
    found = reproduction.compare(worse, rebuilt.stored.info.operations, "cpu")
    verdicts = [f.verdict for one in found for f in one.figures if f.name != "fvcore_g"]
    assert set(verdicts) == {"differs"}
    assert reproduction.any_differs(worse, rebuilt.stored.info.operations, "cpu")


def test_every_row_is_rebuilt_or_left_out_for_a_reason() -> None:
    """A row that prints a figure has a network of ours, and a convention, or a reason against."""
    cases = [reproduction.case_of(row, "cpu") for row in load()]
    assert sum(reproduction.count_left_out().values()) == cases.count(None)
    assert "no module here corresponds to it" not in reproduction.count_left_out()
    for row, case in zip(load(), cases, strict=True):
        if case is not None:
            assert reproduction.convention(row)["about"]
            assert case.network.backbone in BACKBONES
            assert Place.read(case.network.place).problem_in(case.network.backbone) is None


def test_every_explanation_is_of_a_row() -> None:
    """An explanation, a convention and a rule against a row each fit at least one."""
    for table in ("explained", "convention", "not_rebuilt", "ours", "baseline", "taken_over"):
        for rule in read_links()[table]:
            assert any(fits(rule, row) for row in load()), rule
