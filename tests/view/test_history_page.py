"""The page of a history: what changed first, a chart for each series, nothing that is fetched."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from attn_bench.analysis.series import Change, Point, Series
from attn_bench.jobs.history.history import History, NewSoftware
from attn_bench.model.environment import Difference
from attn_bench.model.git import page_of
from attn_bench.model.metrics import METRIC, Interval
from attn_bench.model.row import Keys
from attn_bench.view import history as words
from attn_bench.view.page.history import render

RATIO = METRIC["ratio"]


def point(at: int, value: float, **keys: str) -> Point:
    usual = {
        "run": f"run-{at}",
        "start": f"2026-01-{at + 1:02d}T00:00:00",
        "revision": f"{at:040x}",
    }
    return Point(Keys(**{**usual, **keys}), value, value * 0.98, value * 1.02)  # type: ignore[arg-type]


def history(*, name: str = "se/8x64x8x8/float32/contiguous/inference/eager/cpu") -> History:
    """Ten runs, of which the last five are 10 % slower; other software since the third."""
    points = tuple(point(i, 1.1 if i >= 5 else 1.0) for i in range(10))
    change = Change(5, Interval(1.1, 1.09, 1.11))
    series = Series("smoke", name, "se", "abc", points, (change,), (3,))
    other = Difference("software", "torch", "2.11", "2.12")
    return History(RATIO, (series,), 10, (NewSoftware("abc", "run-2", "run-3", other),))


def test_what_changed_comes_first() -> None:
    """The title counts the changes; a line has the commit, its address and its size."""
    page = render(history(), "https://example.org/me/mine/commit/")
    assert "<h1>1 change for the worse and 0 changes for the better in 1 series" in page
    assert f'href="https://example.org/me/mine/commit/{5:040x}"' in page
    assert "+10.0 ± 1.0 %" in page
    assert "torch: 2.11 before, 2.12 now" in page
    assert page.index('id="changes"') < page.index('id="series"')


def test_a_chart_has_a_line_for_each_software_and_a_mark_for_each_change() -> None:
    """Runs before and after other software are not joined."""
    page = render(history())
    assert page.count("<polyline") == 2
    assert page.count('class="step"') == 1
    assert page.count('class="break"') == 1


def test_nothing_is_fetched_and_names_are_text() -> None:
    """A name that looks like HTML is shown as it is."""
    page = render(history(name='<script>alert(1)</script>"/8x64x8x8'))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_a_case_is_named_without_its_usual_conditions() -> None:
    """What is unusual stays."""
    usual = history()
    other = history(name=usual.all_series[0].case_id.replace("eager", "compile"))
    assert list(words.name_series(usual).values()) == ["se 8x64x8x8"]
    assert list(words.name_series(other).values()) == ["se 8x64x8x8 compile"]


def test_series_of_one_case_have_different_names() -> None:
    """The name has what differs: here the machine."""
    usual = history()
    there = replace(usual.all_series[0], machine="def")
    both = replace(usual, all_series=(*usual.all_series, there))
    names = ["se 8x64x8x8, machine abc", "se 8x64x8x8, machine def"]
    assert list(words.name_series(both).values()) == names
    assert [line[0] for line in words.make_series(both)] == names
    assert [told.case for told in words.tell_changes(both)] == names


def test_the_formats_have_the_same_figures() -> None:
    """Markdown has tables; CSV has a line for each run; JSON the change."""
    found = history()
    assert "| worse | se 8x64x8x8 |" in words.as_markdown(found)
    lines = words.as_csv(found).splitlines()
    assert len(lines) == 11
    assert lines[6].endswith(",True")
    assert '"ratio": 1.1' in words.as_json(found)


def test_a_sparkline_has_a_bar_for_each_run_or_for_several() -> None:
    """A series that hardly varies is flat."""
    points = history().all_series[0].points
    assert words.draw(points) == "▁▁▁▁▁█████"
    assert len(words.draw(points * 20)) == words.SPARKS
    assert set(words.draw(points[:5])) == {"▅"}


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("git@github.com:me/mine.git", "https://github.com/me/mine/commit/"),
        ("ssh://git@example.org:22/me/mine", "https://example.org/me/mine/commit/"),
        ("https://me:secret@example.org/me/mine.git", "https://example.org/me/mine/commit/"),
        ("/srv/mine.git", None),
        ('https://example.org/"><script>', None),
    ],
)
def test_the_page_of_a_commit_has_no_password(address: str, page: str | None) -> None:
    """A remote that is no host of the web has none."""
    assert page_of(address) == page
