"""What the figures draw: labels that do not touch, gains within one paper, the Pareto front."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import REFERENCE

from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Interval
from attn_bench.papers.gains import Gain, Paper, gains_of
from attn_bench.store import runs
from attn_bench.view.page.cost_against_gain import draw_points
from attn_bench.view.page.drawing import PALETTE, short, spread, styles
from attn_bench.view.page.own_gains import read_gains
from attn_bench.view.page.points import Point, find_front, find_points

ROWS = runs.load(REFERENCE).rows


def point(name: str, cost: float, gain: float, paper: str = "A") -> Point:
    interval = Interval(cost, cost * 0.9, cost * 1.1)
    of = Gain(gain, Paper(paper, None, "ResNet-50", None), "read", "")
    return Point(name, name, "", None, interval, of, ("8×64×56×56",))


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.01, 0.2))
def test_labels_do_not_touch(places: list[float], gap: float) -> None:
    """Spread places keep their order, stay on the axis, and are a gap apart where there is room."""
    found = spread(places, gap)
    room = min(gap, 1 / max(len(places) - 1, 1))
    order = sorted(range(len(places)), key=lambda i: (places[i], found[i]))
    placed = [found[i] for i in order]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in placed)
    assert all(b - a >= room - 1e-9 for a, b in pairwise(placed))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8, unique=True))
def test_a_label_with_room_stays(places: list[float]) -> None:
    """Places that are far enough apart are not moved."""
    wanted = [i / len(places) for i in range(len(places))]
    assert spread(wanted, 0.9 / len(places)) == pytest.approx(wanted)


def test_series_differ_without_colour() -> None:
    """Up to eight series have markers of their own, and no two colours of the palette are alike."""
    assert len({style.marker for style in styles([str(i) for i in range(8)]).values()}) == 8
    for scheme in (0, 1):
        assert len({colours[scheme] for colours in PALETTE.values()}) == len(PALETTE)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_can_be_read(scheme: int) -> None:
    """All colours that carry words have a contrast of 4.5 and more, on light paper and on dark."""
    paper = PALETTE["paper"][scheme]
    for name, colours in PALETTE.items():
        if name not in ("paper", "grid"):
            assert contrast(colours[scheme], paper) >= 4.5, name


def test_short_labels() -> None:
    """A long or unprintable name fits beside an axis."""
    assert len(short("x" * 500)) < 40
    assert short("a\nb\x00") == r"a\u000ab\u0000"


def test_the_pareto_front() -> None:
    """It is those that none beats in cost without losing gain."""
    cheap, good, dear = point("cheap", 1, 1), point("good", 2, 2), point("dear", 3, 1.5)
    assert find_front([dear, good, cheap]) == [cheap, good]
    assert find_front([cheap, replace(cheap, gain=replace(cheap.gain, points=0.5))]) == [cheap]


def test_papers_are_never_compared() -> None:
    """Points of two papers are in two panels; a paper with one point has none."""
    points = [point("a", 1, 1, "A"), point("b", 2, 2, "A"), point("c", 1, 5, "B")]
    (panel,) = draw_points(points).panels
    assert panel.title == "A: ResNet-50"
    assert "c +5.00" not in panel.alt
    assert draw_points(points[1:]).missing


def test_points_of_the_reference_run() -> None:
    """GE-θ⁻ at extent 8 gains 0.9 points in its paper and costs the mean of its measured ratios."""
    found = {(p.name, p.gain.paper.name): p for p in find_points(ROWS, "identity")}
    eight = found["ge_theta_minus 8", "Gather-Excite"]
    assert eight.gain.points == pytest.approx(0.9)
    assert eight.gain.provenance == "secondary"
    measured = [r for r in ROWS if r.variant == "ge_theta_minus(extent=8)" and r.ratio is not None]
    assert len(measured) == len(eight.shapes) == 3  # 7×7 is too small for extent 8
    product = measured[0].ratio * measured[1].ratio * measured[2].ratio  # type: ignore[operator]
    assert eight.cost.value == pytest.approx(product ** (1 / 3))
    assert found["se", "Squeeze-and-Excitation"].gain.provenance == "read"


def test_costs_compare_over_the_same_shapes() -> None:
    """All points of a run are means over one set of shapes."""
    assert len({p.shapes for p in find_points(ROWS, "identity")}) == 1


def test_an_ablation_is_not_the_module() -> None:
    """SE in one stage alone is not SE: its gain is not that of the module in every block."""
    of_papers = {gain.paper: gain.points for gain in gains_of("se")}
    assert all(points > 0.5 for points in of_papers.values()), of_papers
    assert [gain.points for gain in gains_of("se", place="block 1")] == [0.27]


def test_a_whole_network_has_points() -> None:
    """In a network, a point is for the paper's place; without gains in it, they are ResNet-50's."""
    row = next(row for row in ROWS if row.variant == "se")
    network = replace(
        row, backbone="resnet50", place="block", ratio=1.1, ratio_lo=1.0, ratio_hi=1.2
    )
    found = find_points([network], "plain")
    assert {p.name for p in found} == {"se"}
    assert all("ResNet-50" in p.gain.paper.backbone for p in found)
    borrowed = find_points([replace(network, backbone="convnext_tiny")], "plain")
    assert {p.gain for p in borrowed} == {p.gain for p in found}
    assert not find_points([replace(network, place="stage")], "plain")


def test_an_authors_gain_stands_beside_the_papers() -> None:
    """It is in each panel of a paper, marked as hers, and never on its own where papers are."""
    own = {"identity": 0.1, "se": 9.0}
    assert find_points(ROWS, "none", own)
    picture = draw_points(find_points(ROWS, "none", own))
    assert all("se +9.00" in panel.alt for panel in picture.panels)
    assert all("your own" not in panel.title for panel in picture.panels)
    assert "Stars are gains of your own training" in picture.caption


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("module,gain\nse,1\n", ":1: must have one column 'variant'"),
        ("variant,gain\nse,x\n", ":2: gain 'x' must be points of top-1"),
        ("variant,gain\nse,1\nse,2\n", ":3: 'se' is there twice"),
        ("variant,gain\n,2\n", ":2: the variant is missing"),
        ("variant,gain\nse,nan\n", ":2: gain 'nan' must be"),
        ("variant,gain\nse,1,5\n", ":2: more cells than the heading has"),
        ("variant,gain,gain\nse,1,5\n", ":1: must have one column 'gain'"),
    ],
)
def test_a_wrong_file_of_gains(tmp_path: Path, text: str, reason: str) -> None:
    """The line and the reason are named."""
    (tmp_path / "gains.csv").write_text(text)
    with pytest.raises(RequestError, match=reason):
        read_gains(tmp_path / "gains.csv")
