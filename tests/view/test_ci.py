"""What CI shows is what was found, in the formats that its tools read."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from math import inf

import pytest
from pages import REFERENCE

from attn_bench.analysis.verdicts import Change, Finding, Times
from attn_bench.catalog.definitions import Definition
from attn_bench.jobs.check.answer import Answer
from attn_bench.jobs.check.notes import note
from attn_bench.model.environment import Environment
from attn_bench.model.metrics import Interval
from attn_bench.model.run import Settings
from attn_bench.model.status import Exit
from attn_bench.model.suite import Suite
from attn_bench.store import runs
from attn_bench.store.info import RunInfo
from attn_bench.view import formats, run_formats
from attn_bench.view.annotations import write_annotations

FINDINGS = (
    Finding(
        "a|b/1x2x3x4",
        "a",
        "slower",
        "fail",
        changes=(Change("params", 100, 110, "fail"),),
        times=Times(Interval(1.1, 1.09, 1.11), 100.0, 110.0, 0.02),
    ),
    Finding("b", "b", "failed", "broken", reason="failed: 100 % broken"),
    Finding("c", "c", "undecided", "undecided"),
    Finding("d", "d", "new", "pass", reason="the baseline does not have it"),
    Finding("e", "e", "same", "pass"),
)
INFO = RunInfo(
    suite=Suite("smoke", "", "smoke.toml", (), ()),
    settings=Settings(1, 0.02, 5, 0, 1, 60),
    environment=Environment(device="cpu"),
    state="finished",
)
ANSWER = Answer(
    "smoke",
    "HEAD~1",
    FINDINGS,
    (note("cut_off", run="base", state="interrupted"),),
    INFO,
    Exit.BAD_ANSWER,
    definitions={"a": Definition("my_pkg/a, or b.py", 12)},
)


def test_markdown_has_the_changes_on_top_and_the_rest_folded() -> None:
    """One row a case, pipes escaped, old and new and the ratio with its interval."""
    text = formats.FORMATS["markdown"].write(ANSWER)
    assert "5 cases: 1 slower, 1 failed, 1 undecided, 1 new, 1 same." in text
    row = next(line for line in text.splitlines() if line.startswith("| slower"))
    assert row == (
        "| slower | a\\|b/1x2x3x4 | 100 µs | 110 µs | 1.100 ± 0.010 | 2.0 % "
        "| params 100 → 110 (+10, +10.0 %): too much |"
    )
    assert text.index("| slower") < text.index("<details>") < text.index("| same")
    assert "- base was interrupted\n" in text
    assert "detects a slowdown of 2.0 % nine times of ten." in text
    assert "Exit status 1." in text


def test_junit_tells_failures_from_errors() -> None:
    """A regression is a failure, a broken module an error, undecided too where it fails the check;
    what is new is skipped."""
    suite = ElementTree.fromstring(formats.FORMATS["junit"].write(ANSWER))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "1", "2")
    kinds = [each.tag for case in suite.iter("testcase") for each in case]
    assert kinds == ["failure", "error", "error", "skipped"]
    allowed = ElementTree.fromstring(
        formats.FORMATS["junit"].write(replace(ANSWER, exit_status=Exit.GOOD))
    )
    assert list(allowed.iter("testcase"))[2][0].tag == "skipped"


def test_github_gets_one_line_each_with_its_percent_signs_escaped() -> None:
    """Errors for what fails, a warning for what is undecided, nothing for the rest."""
    lines = write_annotations(ANSWER).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::error", "::warning"]
    assert "100 %25 broken" in lines[1]


def test_an_annotation_has_the_place_of_the_module() -> None:
    """File and line are properties, in which a comma is escaped; an unknown place is left out."""
    first, second, _ = write_annotations(ANSWER).splitlines()
    properties = "title=attn-bench%3A slower,file=my_pkg/a%2C or b.py,line=12"
    assert first.startswith(f"::error {properties}::slower: a|b")
    assert second.startswith("::error title=attn-bench%3A failed::failed: b")


def test_gitlab_gets_the_findings_with_a_place() -> None:
    """A report of code quality has a file and a line in each entry, and lasting fingerprints."""
    written = [formats.FORMATS["codequality"].write(ANSWER) for _ in range(2)]
    assert written[0] == written[1]
    (entry,) = json.loads(written[0])
    assert entry["location"] == {"path": "my_pkg/a, or b.py", "lines": {"begin": 12}}
    assert entry["severity"] == "major"
    assert entry["description"].startswith("slower: a|b")


def test_github_action_benchmark_gets_the_ratio_with_its_interval() -> None:
    """Each timed case: new over old, with a range that the tool reads as a number."""
    unclear = replace(FINDINGS[2], times=Times(Interval(2.0, 0.0, inf), 100.0, 200.0, inf))
    answer = replace(ANSWER, findings=(*FINDINGS, unclear))
    (entry,) = json.loads(formats.FORMATS["github-action-benchmark"].write(answer))
    assert (entry["name"], entry["unit"]) == ("a|b/1x2x3x4", "× baseline")
    assert (entry["value"], entry["range"]) == (1.1, "± 0.01")
    assert entry["extra"].startswith("1.09 to 1.11\nslower; old 100 µs, new 110 µs")


def test_a_run_gives_its_ratios_to_the_baseline() -> None:
    """`show` and `run` write the same entries: every timed case but the baseline itself."""
    stored = runs.load(REFERENCE)
    entries = json.loads(run_formats.OF_PROGRAMS["github-action-benchmark"](stored, ()))
    timed = [row for row in stored.rows if row.ratio and row.module != "identity"]
    assert [entry["name"] for entry in entries] == [row.case_id for row in timed]
    for entry, row in zip(entries, timed, strict=True):
        assert entry["value"] == pytest.approx(row.ratio, rel=1e-5)
        assert float(entry["range"].removeprefix("± ")) > 0
        assert "\nlatency " in entry["extra"]


@pytest.mark.parametrize(
    ("findings", "message", "colour"),
    [
        (FINDINGS, "1 slower, 1 failed, 1 undecided", "red"),
        (FINDINGS[2:], "1 undecided", "yellow"),
        (FINDINGS[3:], "2 passed", "brightgreen"),
        (FINDINGS[3:4], "nothing compared", "yellow"),
    ],
)
def test_a_badge_has_the_worst(findings: tuple[Finding, ...], message: str, colour: str) -> None:
    """What shields.io reads: the number of each bad verdict, and its colour."""
    badge = json.loads(formats.FORMATS["badge"].write(replace(ANSWER, findings=findings)))
    assert badge == {
        "schemaVersion": 1,
        "label": "attn-bench",
        "message": message,
        "color": colour,
    }


def test_json_has_everything() -> None:
    """JSON contains the findings as values and the notes as sentences, with a schema."""
    content = json.loads(formats.FORMATS["json"].write(ANSWER))
    assert content["schema"] == 1
    assert content["exit_status"] == 1
    assert content["kind"] == "check"
    assert content["notes"] == ["base was interrupted"]
    assert content["findings"][0]["times"]["ratio"]["lo"] == 1.09
