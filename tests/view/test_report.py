"""The page of a run: it shows what the console shows, asks nobody, and cannot be broken."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pages import REFERENCE, Page, altered, page_of, without_figures
from program import ROOT, Cli

from attn_bench.model.row import COLUMNS, Row
from attn_bench.store import runs
from attn_bench.view.page.report import report
from attn_bench.view.summary import summarise

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)> $\\frac{ & \x07"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of the reference run of ge_extents."""
    return page_of(altered(tmp_path_factory.mktemp("report") / "reference"))


def test_it_shows_what_the_console_shows(page: Page) -> None:
    """Every line of the console's tables is a row of the page, with the same figures and stars."""
    for summary in summarise(runs.load(REFERENCE).rows, "identity", "ms"):
        width = 3 + len(summary.columns)  # name, extent and shape stand before them
        shown = {tuple(row[:width]) for row in page.rows}
        for line in summary.lines:
            row = line.row
            marked = [f"{cell.text}*" if cell.best else cell.text for cell in line.cells]
            extent = "" if row.extent is None else str(row.extent)
            assert (line.name, extent, row.shape_in_words, *marked) in shown


def test_every_column_of_the_table_is_on_the_page(page: Page) -> None:
    """All columns of table.csv are there, those that the console leaves out hidden."""
    assert set(COLUMNS) <= {str(heading["data-key"]) for heading in page.named("th")}
    hidden = {heading["data-key"] for heading in page.named("th") if "hidden" in heading}
    assert {"macs_fvcore", "case_id", "error"} <= hidden
    assert not {"name", "latency_us_shown", "ratio_shown", "status"} & hidden
    assert all(len(row) == len(page.headings) for row in page.rows if row)


def test_it_says_what_the_console_says(cli: Cli, tmp_path: Path) -> None:
    """The machine, the reasons, the precision and the warnings are the console's, word by word."""
    seen = replace(runs.load(REFERENCE).info.environment, stolen_share=0.09)
    disturbed = {"environment": seen, "warnings": ("stolen_time",)}
    altered(tmp_path / "results" / "a-run", info=disturbed)
    shown = " ".join(cli("show", "a-run").stdout.split())
    done = cli("report", "a-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "written: results/a-run/report.html\n"
    words = " ".join(Page((tmp_path / "results/a-run/report.html").read_text()).words.split())
    for said in (
        "Intel(R) Xeon(R) Processor, 2 threads; torch 2.12.1",
        "extent 8 is larger than the 7×7 map",
        "No ratio is known to ± 2.0 %;",
        "of the measuring time was spent calling modules.",
        "the host took 9 % of the time",
    ):
        assert said in shown
        assert said in words


def test_nothing_is_fetched(page: Page) -> None:
    """The page names no host, refers to nothing outside itself, and forbids itself to."""
    assert not re.search(r"https?:|url\((?!#)|@import", page.source)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), tag
    (policy,) = [
        m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'sha256-" in policy


def test_every_figure_is_whole(page: Page) -> None:
    """Each of the four figures has panels with a text alternative; ids are unique and resolved."""
    drawings = re.findall(r"<svg.*?</svg>", page.source, flags=re.DOTALL)
    assert len(drawings) == 4 + 4 + 5 + 1
    assert all(len(str(svg["aria-label"])) > 40 for svg in page.named("svg"))
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for drawing in drawings:
        for element in ET.fromstring(drawing).iter():
            for value in (element.get("href", ""), element.get("clip-path", "")):
                assert not value or value.partition("#")[2].rstrip(")") in ids


def test_colours_are_the_pages(page: Page) -> None:
    """No colour is fixed in a figure, so that it can turn dark."""
    for drawing in re.findall(r"<svg.*?</svg>", page.source, flags=re.DOTALL):
        assert not re.search(r"(fill|stroke): ?#", drawing)


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    """Markup in names, titles, errors and run.json is text on the page, and no element."""
    original = runs.load(REFERENCE)

    def change(rows: Iterable[Row]) -> Iterable[Row]:
        for row in rows:
            name = HOSTILE if row.module == "se" else row.module
            yield (
                replace(row, module=name, variant=row.variant.replace("se", HOSTILE, 1))
                if row.module == "se"
                else row
            )
        yield replace(original.rows[0], case_id=HOSTILE, status="failed", error=HOSTILE)

    info = {
        "suite": replace(original.info.suite, title=HOSTILE, name=HOSTILE),
        "environment": replace(
            original.info.environment,
            cpu=HOSTILE,
            governor=HOSTILE,
            device_facts={HOSTILE: HOSTILE},
        ),
        "warnings": ("governor",),
        "command": (HOSTILE,),
        "notes": {"a": (HOSTILE,)},
    }
    page = page_of(altered(tmp_path / "run", change, info))
    assert [script.get("type") for script in page.named("script")] == ["application/json", None]
    assert page.named("img") == []
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.words.count("onerror=alert(1)") > 8
    assert "alert(1)" in page_fragment(tmp_path / "run").words
    assert page_fragment(tmp_path / "run").named("script") == []


def page_fragment(run: Path) -> Page:
    import attn_bench

    return Page(attn_bench.load(run)._repr_html_())


Change = Callable[[Iterable[Row]], Iterable[Row]]
ALL_FAILED: Change = lambda rows: [  # noqa: E731
    without_figures(row, status="failed", error="RuntimeError: no") for row in rows
]
ONE_SHAPE: Change = lambda rows: [row for row in rows if row.channels == 512]  # noqa: E731
ONE_EXTENT: Change = lambda rows: [row for row in rows if row.extent in (2, None)]  # noqa: E731
NO_GAIN: Change = lambda rows: [row for row in rows if row.variant == "identity"]  # noqa: E731
NO_RATIO: Change = lambda rows: [  # noqa: E731
    replace(row, ratio=None, ratio_lo=None, ratio_hi=None, bound_us=None) for row in rows
]
NO_ROW: Change = lambda rows: []  # noqa: E731


def twice(**other: Any) -> Change:
    """Every case, and every case again with another condition, shape by shape."""

    def change(rows: Iterable[Row]) -> Iterable[Row]:
        again = [replace(row, case_id=f"{row.case_id}/{other}", **other) for row in rows]
        return sorted([*rows, *again], key=lambda row: (row.channels, row.mode, row.dtype))

    return change


def on_gpu(rows: Iterable[Row]) -> Iterable[Row]:
    for row in rows:
        timed = row.latency_us is not None
        yield replace(
            row,
            device="cuda",
            device_us=12.0 if timed else None,
            device_lo_us=11.9 if timed else None,
            device_hi_us=12.1 if timed else None,
        )


@pytest.mark.parametrize(
    ("change", "expected", "panels"),
    [
        (ALL_FAILED, ["No case was timed.", "failed: 15 cases: RuntimeError: no"], 0),
        (NO_ROW, ["No case was timed.", "0 cases"], 0),
        (ONE_SHAPE, ["geometric mean over 8×512×28×28, with"], 1 + 4 + 1 + 1),
        (ONE_EXTENT, ["What each module costs"], 1 + 0 + 3 + 1),
        (NO_GAIN, ["No paper gives gains for two variants"], 1 + 0 + 0 + 1),
        (
            NO_RATIO,
            ["No bound is known", "No paper gives", "No ratio is known well enough"],
            1 + 0 + 0 + 1,
        ),
        (twice(mode="training"), ["8×512×28×28 training"], 2 + 8 + 2 + 2),
        (twice(dtype="bfloat16"), ["8×512×28×28 bfloat16"], 2 + 8 + 2 + 2),
        (twice(execution="compile"), ["8×512×28×28 compiled"], 2 + 8 + 2 + 2),
        (on_gpu, ["8×512×28×28 cuda", "0.01200 ± 0.00010"], 1 + 4 + 1 + 1),
    ],
)
def test_odd_runs_have_a_page(
    tmp_path: Path, change: Change, expected: list[str], panels: int
) -> None:
    """Whatever a run lacks or has twice, its page is whole and says so."""
    page = page_of(altered(tmp_path / "run", lambda rows: change(ONE_SHAPE(rows))))
    words = " ".join(page.words.split())
    for said in expected:
        assert said in words
    assert len(page.named("svg")) == panels


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    """A run that was cut off has a page, with a warning on top."""
    page = page_of(altered(tmp_path / "run", info={"state": "interrupted"}))
    assert "the run was interrupted: the table contains what was measured before" in page.words


def test_pngs_are_written(tmp_path: Path) -> None:
    """--png writes each figure that there is as a picture, without a browser."""
    run = altered(tmp_path / "run", ONE_SHAPE)
    written = report(str(run.path), str(tmp_path / "page.html"), str(tmp_path / "figures"))
    page, costs, latency, *gains, bound = written
    assert [page.name, costs.name, latency.name, bound.name] == [
        *("page.html", "costs.png", "latency.png", "bound.png")
    ]
    assert {name.name.removeprefix("cost-against-gain-") for name in gains} == {
        *("Gather-Excite.png", "SRM.png", "CBAM.png", "implus-PytorchInsight-README.png")
    }
    for file in written[1:]:
        assert file.read_bytes().startswith(b"\x89PNG")
    assert not (run.path / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["report", "no-such"], "run 'no-such' not found"),
        (
            ["report", "a-run", "--out", "no/such/page.html"],
            "no/such/page.html: cannot be written: the f",
        ),
        (["report", "a-run", "--png", "a-run/run.json"], "--png a-run/run.json: cannot be written"),
    ],
)
def test_a_wrong_request_is_refused(
    cli: Cli, tmp_path: Path, words: list[str], expected: str
) -> None:
    """One line that names the thing, and status 2."""
    altered(tmp_path / "a-run", NO_ROW)
    done = cli(*words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.rglob("*.part")) == []


def test_it_imports_no_torch(tmp_path: Path) -> None:
    """The process that makes a page loads neither torch nor timm."""
    run = altered(tmp_path / "run", ONE_SHAPE)
    script = f"""
import sys
from attn_bench.cli.main import main
status = main(["report", {str(run.path)!r}])
heavy = sorted({{"torch", "timm", "fvcore"}} & set(sys.modules))
sys.exit(str(heavy) if heavy else status)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
