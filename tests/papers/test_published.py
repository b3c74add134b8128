"""The papers' figures and what is made of them."""

from typing import get_args

import pytest

from attn_bench.papers.gains import gains_of
from attn_bench.papers.published import (
    Provenance,
    baseline_of,
    gains,
    load,
    our_backbone,
    our_variant,
    published_as,
)


def the_row(module, variant, **columns):
    found = [
        row
        for row in load()
        if (row.module, row.variant) == (module, variant)
        and all(getattr(row, name) == value for name, value in columns.items())
    ]
    assert len(found) == 1
    return found[0]


def test_every_row_says_where_it_was_read():
    """Each of the rows has a source and one of the three provenances, and no row is there twice."""
    assert len(load()) == len(set(load())) > 190
    for row in load():
        assert row.source
        assert row.provenance in get_args(Provenance)
        assert row.top1_err is None or 0 < row.top1_err < 100


@pytest.mark.parametrize(
    ("module", "variant", "columns", "gain"),
    [
        ("SE", "r=16", {"backbone": "ResNet-50"}, 1.51),  # 24.8 − 23.29, Table 2
        ("GE", "GE-theta-minus E4", {}, 0.43),  # 23.3 − 22.87, another table of the same paper
        ("SE", "SE 3x3 (after 3x3 conv, inside unit)", {}, 0.82),  # of the long schedule's 23.3
        ("CoordAtt", "CA README", {"backbone": "MobileNetV2"}, 2.0),
    ],
)
def test_a_gain_is_the_difference_to_the_papers_own_baseline(module, variant, columns, gain):
    """A gain is the top-1 error of the plain backbone in the same paper less the row's."""
    assert gains()[the_row(module, variant, **columns)] == gain


def test_no_gain_is_given_across_papers():
    """A gain's baseline has the paper, backbone, data set and crop of its row, or is None."""
    for row in load():
        baseline = baseline_of(row)
        assert (gains()[row] is None) == (baseline is None)
        if baseline is not None:
            assert baseline.source[:40] == row.source[:40]
            assert (baseline.backbone, baseline.dataset, baseline.crop) == (
                *(row.backbone, row.dataset),
                row.crop,
            )


def test_rows_that_a_paper_took_over_have_no_gain():
    """ECA-Net's table quotes CBAM and GC beside a baseline that is not theirs."""
    quoted = [row for row in load() if row.module in ("CBAM", "GC") and "ECA-Net Tab" in row.source]
    assert quoted
    assert {gains()[row] for row in quoted} == {None}


def test_our_variants_are_found_among_the_published():
    """GE-θ⁻ at extent 2 in ResNet-50 is our ge_theta_minus(extent=2) in resnet50, and back."""
    row = the_row("GE", "GE-theta-minus E2")
    assert (our_variant(row), our_backbone(row)) == ("ge_theta_minus(extent=2)", "resnet50")
    assert published_as("ge_theta_minus(extent=2)", "resnet50") == (row,)


def test_gains_on_other_data_sets_are_left_out():
    """EMA's gain on CIFAR-100 is published, but nothing is chosen or drawn by it."""
    row = the_row("EMA", "", backbone="ResNet-50")
    assert (row.dataset, gains()[row]) == ("CIFAR-100", 3.43)
    assert gains_of("ema") == ()


def test_one_table_has_one_recipe():
    """PytorchInsight's table gives the gains of four modules of ours over the same ResNet-50."""
    found = {
        name: gain.points
        for name in ("se", "bam", "cbam", "sge")
        for gain in gains_of(name)
        if "PytorchInsight" in gain.source
    }
    assert found == {"se": 0.8, "bam": 0.514, "cbam": 1.242, "sge": 1.2}
