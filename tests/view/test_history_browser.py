"""The page of a large history in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pages import Watched
from test_history_page import RATIO, point

from attn_bench.analysis.series import Change, Series
from attn_bench.jobs.history.history import History
from attn_bench.model.metrics import Interval
from attn_bench.view.page.history import render

RUNS, CASES = 300, 60
CHANGED = 3  # the first series


def make_series(number: int) -> Series:
    """A series that is 5 % slower from run 200 on, if it is one of the first."""
    is_slower = number < CHANGED
    points = tuple(point(i, 1.05 if is_slower and i >= 200 else 1.0) for i in range(RUNS))
    changes = (Change(200, Interval(1.05, 1.04, 1.06)),) if is_slower else ()
    return Series("ge_extents", f"se/{number + 1}x64x8x8/cpu", "se", "abc", points, changes)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, with links to commits."""
    history = History(RATIO, tuple(map(make_series, range(CASES))), RUNS)
    file = tmp_path_factory.mktemp("history") / "history.html"
    file.write_text(render(history, "https://example.org/me/mine/commit/"), encoding="utf-8")
    return file


def test_a_page_of_300_runs_of_60_cases_is_small(file: Path) -> None:
    """It has less than 3 MB."""
    assert file.stat().st_size < 3e6


@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_usable(browser: Any, file: Path, width: int) -> None:
    """The changes come first, each leads to its chart and its commit, and nothing is fetched."""
    address = file.as_uri()
    opened = Watched(browser, address, viewport={"width": width, "height": 900})
    page = opened.page
    assert page.locator("#changes tbody tr").count() == CHANGED
    assert page.locator("svg").count() == CASES
    assert page.locator("svg").nth(CASES - 1).bounding_box()["width"] > 250
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    row = page.locator("#changes tbody tr").nth(1)
    commit = row.locator("a", has_text=f"{200:040x}"[:10])
    assert commit.get_attribute("href").endswith(f"/commit/{200:040x}")
    row.locator("a").first.click()
    chart = page.locator("figure:target")
    assert chart.locator("figcaption").inner_text() == row.locator("td").nth(1).inner_text()
    assert chart.locator(".step").count() == 1
    assert opened.said == []
    assert {asked.partition("#")[0] for asked in opened.asked} == {address}
    opened.context.close()
