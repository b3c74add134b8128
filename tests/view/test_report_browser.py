"""The page in a real browser: it opens without an error, asks nobody, and its table works."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import Watched, altered
from program import ROOT

from attn_bench.view.page.report import report

PHONE = {"width": 375, "height": 700}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page of the reference run is."""
    run = altered(tmp_path_factory.mktemp("browser") / "reference")
    (file,) = report(str(run.path))
    return file.as_uri()


class Report(Watched):
    """A report whose table is read and sorted."""

    def shown(self, heading: str) -> list[str]:
        """The cells of a column in the rows that are shown, as they are read."""
        found: list[str] = self.page.evaluate(
            """heading => {
                const table = document.getElementById("cases");
                const index = [...table.tHead.rows[0].cells]
                    .findIndex((cell) => cell.dataset.key === heading);
                return [...table.tBodies[0].rows].filter((row) => !row.hidden)
                    .map((row) => row.cells[index].textContent);
            }""",
            heading,
        )
        return found

    def heading(self, key: str) -> Any:
        return self.page.locator(f"th[data-key={key}]")


@pytest.fixture
def watched(browser: Any, address: str) -> Iterator[Report]:
    """The page in a window of usual size; whatever a test did, it asked no host and did not err."""
    opened = Report(browser, address)
    yield opened
    assert opened.asked == [address]
    assert opened.said == []
    opened.context.close()


def test_it_opens_and_all_is_there(watched: Report) -> None:
    """Four figures, the table of 60 cases and the environment are on the page and seen."""
    for place in ("costs", "latency", "cost-against-gain", "bound", "table", "environment"):
        assert watched.page.locator(f"#{place}").is_visible()
    assert watched.page.locator("svg").count() == 13
    assert all(watched.page.locator("svg").nth(i).bounding_box()["height"] > 150 for i in range(13))
    assert watched.page.inner_text("#count") == "60 of 60 cases"


def test_a_heading_sorts(watched: Report) -> None:
    """One click sorts upwards by number, the next downwards; what is unknown stays last."""
    heading = watched.heading("latency_us_shown")
    heading.locator("span").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    upwards = watched.shown("latency_us")
    known = [float(text) for text in upwards if text]
    assert len(known) == 57
    assert known == sorted(known)
    assert upwards[57:] == ["", "", ""]
    heading.locator("span").click()
    assert heading.get_attribute("aria-sort") == "descending"
    downwards = watched.shown("latency_us")
    assert [float(text) for text in downwards[:57]] == sorted(known, reverse=True)
    assert downwards[57:] == ["", "", ""]


def test_the_keyboard_sorts(watched: Report) -> None:
    """A heading takes the focus, and Enter and the space bar sort by it."""
    for key, order in (("Enter", "ascending"), (" ", "descending")):
        watched.heading("name").locator("span").focus()
        watched.page.keyboard.press(key)
        assert watched.heading("name").get_attribute("aria-sort") == order
    assert watched.shown("module")[0] == "se"


def test_the_global_extent_is_the_largest(watched: Report) -> None:
    """Extents are sorted as numbers, and global comes after them."""
    watched.heading("at_extent").locator("span").click()
    extents = [text for text in watched.shown("at_extent") if text]
    assert list(dict.fromkeys(extents)) == ["2", "4", "8", "global"]


def test_rows_are_filtered(watched: Report) -> None:
    """By words, by the value of a column, by both; a reset shows all again."""
    watched.page.fill("#search", "theta_plus 28×28")
    assert watched.shown("name") == ["ge_theta_plus"] * 4
    assert watched.page.inner_text("#count") == "4 of 60 cases"
    watched.page.select_option("[data-filter=extent]", "8")
    assert watched.shown("at_extent") == ["8"]
    watched.page.fill("#search", "")
    watched.page.select_option("[data-filter=status]", "unsupported")
    assert watched.shown("shape") == ["8×2048×7×7"] * 3
    watched.page.click("button[type=reset]")
    watched.page.wait_for_function("document.querySelector('#count').textContent.startsWith('60')")
    assert len(watched.shown("name")) == 60


def test_columns_are_chosen(watched: Report) -> None:
    """A column of table.csv is shown on request, and one of the console's can be hidden."""
    assert watched.heading("macs_fvcore").is_hidden()
    watched.page.click("#controls summary")
    watched.page.get_by_label("macs_fvcore", exact=True).check()
    watched.page.get_by_label("memory", exact=True).uncheck()
    assert watched.heading("macs_fvcore").is_visible()
    assert watched.heading("peak_memory_bytes_shown").is_hidden()
    assert watched.page.locator("tbody tr").first.locator("td:visible").count() == 9


def test_the_address_keeps_the_state(watched: Report, browser: Any, address: str) -> None:
    """Who opens the address of a sorted and filtered table sees the same rows and columns."""
    watched.page.select_option("[data-filter=module]", "cbam")
    watched.page.fill("#search", "cbam")
    watched.heading("latency_us_shown").locator("span").click()
    watched.heading("latency_us_shown").locator("span").click()
    watched.page.click("#controls summary")
    watched.page.get_by_label("params", exact=True).first.uncheck()
    again = Report(browser, watched.page.url)
    assert again.shown("shape") == watched.shown("shape")
    assert len(again.shown("shape")) == 4
    assert again.heading("params_shown").is_hidden()
    assert again.heading("latency_us_shown").get_attribute("aria-sort") == "descending"
    assert again.said == []
    again.page.click("button[type=reset]")
    again.page.wait_for_function("!location.hash")
    assert len(again.shown("shape")) == 60
    again.context.close()


def test_the_csv_has_what_is_shown(watched: Report, tmp_path: Path) -> None:
    """The file has the headings and cells of the shown columns in the rows that are left."""
    watched.page.select_option("[data-filter=module]", "se")
    with watched.page.expect_download() as caught:
        watched.page.click("#csv")
    caught.value.save_as(tmp_path / "table.csv")
    heading, *lines = csv.reader((tmp_path / "table.csv").open(encoding="utf-8-sig"))
    assert heading[:4] == ["module", "extent", "shape", "latency, ms"]
    assert lines[0][:3] == ["se", "", "8×256×56×56"]
    assert [line[3] for line in lines] == watched.shown("latency_us_shown")


def test_a_click_shows_the_samples(watched: Report) -> None:
    """A row opens to a strip of blocks for each session, and closes again; sorting closes it."""
    row = watched.page.locator("tr[data-case]").first
    row.click()
    strip = watched.page.locator("td.samples svg")
    assert strip.is_visible()
    assert strip.locator("circle").count() > 20
    assert "session 1" in strip.text_content()
    row.click()
    assert watched.page.locator("td.samples").count() == 0
    row.focus()
    watched.page.keyboard.press("Enter")
    assert strip.is_visible()
    watched.heading("name").locator("span").click()
    assert watched.page.locator("td.samples").count() == 0


def test_a_phone_shows_latency_at_first_view(browser: Any, address: str) -> None:
    """At 390 pixels the module, its extent and shape, and its latency need no sideways scroll."""
    phone = Report(browser, address, viewport={"width": 390, "height": 844})
    row = phone.page.locator("tr[data-case]").first
    for cell in row.locator("td:visible").all()[:2]:
        box = cell.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    below = row.locator("td").first.evaluate("cell => getComputedStyle(cell, '::after').content")
    assert "8×256×56×56" in below
    phone.context.close()


def test_a_phone_shows_the_answer_first(browser: Any, tmp_path: Path) -> None:
    """The small table of the answer has shape, module and latency within 390 pixels."""
    (file,) = report(str(ROOT / "results/reference/ge_extents-cpu"), str(tmp_path / "page.html"))
    phone = Report(browser, file.as_uri(), viewport={"width": 390, "height": 844})
    latency = phone.page.locator(".answer td").nth(2)
    assert latency.inner_text() == "0.79 ± 0.03 ms"
    box = latency.bounding_box()
    assert box["x"] + box["width"] <= 390
    assert box["y"] < 844
    phone.context.close()


def test_a_wide_window_is_used(browser: Any, address: str) -> None:
    """At 1440 pixels the table and the figures fill the page."""
    window = Report(browser, address, viewport={"width": 1440, "height": 900})
    assert window.page.locator("#cases").bounding_box()["width"] > 1350
    last = window.page.locator("#costs figure").nth(2).bounding_box()
    assert last["x"] + last["width"] > 1300
    window.context.close()


def test_a_phone_shows_it(browser: Any, address: str) -> None:
    """At 375 pixels the page does not scroll sideways; the table does, in its own box."""
    phone = Report(browser, address, viewport=PHONE)
    widths = phone.page.evaluate(
        """() => {
            const box = document.querySelector(".scroll");
            return [document.documentElement.scrollWidth, box.clientWidth, box.scrollWidth];
        }"""
    )
    assert widths[0] == 375
    assert widths[1] < 375 < widths[2]
    letters = phone.page.evaluate(
        """() => Math.min(...[...document.querySelectorAll("svg text")]
                .map((text) => [parseFloat(getComputedStyle(text).fontSize), text.getScreenCTM()])
                .map(([size, matrix]) => size * Math.hypot(matrix.a, matrix.b)))"""
    )
    assert letters > 8
    assert phone.said == []
    phone.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser: Any, address: str, scheme: str) -> None:
    """The page and the letters and lines of its figures follow what the reader prefers."""
    window = Report(browser, address, color_scheme=scheme)
    paper, ink, figure = window.page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor,
                  getComputedStyle(document.body).color,
                  getComputedStyle(document.querySelector("svg text")).fill]"""
    )
    dark = "rgb(21, 25, 30)"
    assert paper == (dark if scheme == "dark" else "rgb(255, 255, 255)")
    assert ink == figure == ("rgb(231, 234, 238)" if scheme == "dark" else "rgb(26, 31, 38)")
    window.context.close()


def test_no_label_lies_outside_its_figure(watched: Report) -> None:
    """Every word of a figure is within it, and no two of one figure cover each other."""
    faults = watched.page.evaluate(
        """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
            const frame = svg.getBoundingClientRect();
            const texts = [...svg.querySelectorAll("text")].filter((t) => t.textContent.trim());
            const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
            const inside = ([, box]) => box.left >= frame.left - 2 && box.right <= frame.right + 2
                && box.top >= frame.top - 2 && box.bottom <= frame.bottom + 2;
            const cover = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
                && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5;
            return [...boxes.filter((one) => !inside(one)).map(([text]) => `outside: ${text}`),
                ...boxes.flatMap(([text, box], i) => boxes.slice(i + 1)
                    .filter(([, other]) => cover(box, other))
                    .map(([other]) => `${text} covers ${other}`))];
        })"""
    )
    assert faults == []


def test_it_prints(watched: Report, tmp_path: Path) -> None:
    """It becomes a PDF, and a screenshot is made; neither leaves a file behind but where asked."""
    watched.page.pdf(path=tmp_path / "page.pdf", format="A4")
    watched.page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["page.pdf", "page.png"]


def test_it_is_whole_without_scripts(browser: Any, address: str) -> None:
    """Without JavaScript the table is there with the console's columns, and no dead control."""
    plain = Report(browser, address, java_script_enabled=False)
    assert plain.page.locator("tbody tr").count() == 60
    assert plain.page.locator("#controls").is_hidden()
    assert plain.page.locator("tbody tr").first.locator("td:visible").count() == 9
    plain.context.close()
