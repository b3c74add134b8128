"""Modules over the batch size: what they add at each, where that is little, and the throughput."""

from __future__ import annotations

from typing import Any

import pytest
from test_summary import row

from attn_bench.model.row import Row
from attn_bench.view.crossed.batches import cross, find_little
from attn_bench.view.page import batches


def network(module: str, batch: int, ratio: float, half: float = 0.01, **cells: Any) -> Row:
    """ResNet-18 with a module, or plain; the plain one takes a millisecond for each image."""
    us = 1000.0 * batch * ratio
    facts: dict[str, Any] = {
        "backbone": "resnet18",
        "place": "block",
        "variant": module,
        "batch": batch,
        "channels": 3,
        "height": 160,
        "width": 160,
        "ratio": ratio,
        "ratio_lo": ratio - half,
        "ratio_hi": ratio + half,
        "images_per_s": batch / us * 1e6,
        "images_per_s_lo": batch / us * 0.99e6,
        "images_per_s_hi": batch / us * 1.01e6,
    }
    return row(module, us, us * half, **{**facts, **cells})


BATCHES = (1, 4, 16)
ROWS = [
    *(network("plain", batch, 1.0, 0.0) for batch in BATCHES),
    *(network("se", *each) for each in zip(BATCHES, (1.20, 1.08, 1.02), strict=True)),
    *(network("eca", batch, 1.01) for batch in BATCHES),
    *(network("cbam", batch, 1.30) for batch in BATCHES),
]


def test_each_batch_size_is_a_column() -> None:
    """The plain network has its throughput; a module what it adds, and where that is little."""
    (found,) = cross(ROWS, "identity")
    assert found.title == "resnet18 3×160×160: latency at each batch size"
    assert found.headings == ("module", "1", "4", "16", "below +5 %")
    assert found.lines[0] == ("plain, images/s", *["1000 ± 10"] * 3, "")
    assert found.lines[1] == ("se", "+20.0 ± 1.0 %", "+8.0 ± 1.0 %", "+2.0 ± 1.0 %", "from 16")
    assert [line[-1] for line in found.lines[2:]] == ["all", "none"]


def test_the_sentences_say_where_the_cost_is_little() -> None:
    """One for the modules that become cheap, that always are, and that never are."""
    (found,) = cross(ROWS, "identity")
    assert found.sentences == (
        "se adds less than 5 % to resnet18 at batch sizes from 16",
        "eca adds less than 5 % to resnet18 at every batch size",
        "cbam adds more than 5 % to resnet18 at every batch size",
    )


@pytest.mark.parametrize(
    ("ratios", "where"),
    [
        ([1.20, 1.051, 1.02], "from 16 or less"),
        ([1.02, 1.02, 1.20], "up to 4"),
        ([1.02, 1.051, 1.20], "up to 1 or more"),
        ([1.20, 1.02, 1.20], "undecided"),
        ([1.051, 1.051, 1.049], "undecided"),
        ([1.20, 1.20, 1.051], "undecided"),
    ],
)
def test_only_what_the_intervals_decide_is_claimed(ratios: list[float], where: str) -> None:
    """A ratio whose interval holds 1.05 decides nothing, and is said to be open."""
    rows = {b: network("se", b, ratio) for b, ratio in zip(BATCHES, ratios, strict=True)}
    assert find_little(rows) == where


def test_a_module_alone_has_no_network_to_be_little_of() -> None:
    """Its table has the ratio to a copy, and the throughput of the copy."""
    rows = [
        row(m, 100.0 * b * k, 1, batch=b, ratio=k, ratio_lo=k * 0.99, ratio_hi=k * 1.01)
        for m, k in (("identity", 1.0), ("se", 2.0))
        for b in (1, 8)
    ]
    (found,) = cross(rows, "identity")
    assert found.headings == ("module", "1", "8")
    assert found.lines[1] == ("se", "2.00 ± 0.02", "2.00 ± 0.02")
    assert found.sentences == ()


def test_one_batch_size_has_no_such_table() -> None:
    """A run at one batch size is shown as before."""
    assert list(cross([network("se", 8, 1.1), network("plain", 8, 1.0)], "identity")) == []


def test_the_page_draws_what_is_added_and_the_throughput() -> None:
    """Two panels; what is added has the limit of 5 % as a line."""
    added, throughput = batches.make_picture(ROWS, "identity").panels
    assert added.title == "Added latency, resnet18 3×160×160"
    assert "se at 1 +20.0 ± 1.0 %" in added.alt
    assert "plain" not in added.alt
    assert "plain at 1 1000 ± 10" in throughput.alt
