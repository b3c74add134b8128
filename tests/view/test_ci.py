"""What CI shows is what was found, in the formats that its tools read."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from attn_bench.analysis.verdicts import Change, Finding, Times
from attn_bench.jobs.check.answer import Answer
from attn_bench.jobs.check.notes import note
from attn_bench.model.environment import Environment
from attn_bench.model.metrics import Interval
from attn_bench.model.run import Settings
from attn_bench.model.status import Exit
from attn_bench.model.suite import Suite
from attn_bench.store.info import RunInfo
from attn_bench.view import formats

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
    kinds = [case[0].tag for case in suite]
    assert kinds == ["failure", "error", "error", "skipped", "system-out"]
    allowed = ElementTree.fromstring(
        formats.FORMATS["junit"].write(replace(ANSWER, exit_status=Exit.GOOD))
    )
    assert allowed[2][0].tag == "skipped"


def test_github_gets_one_line_each_with_its_percent_signs_escaped() -> None:
    """Errors for what fails, a warning for what is undecided, nothing for the rest."""
    lines = formats.write_annotations(ANSWER).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::error", "::warning"]
    assert "100 %25 broken" in lines[1]


def test_json_has_everything() -> None:
    """JSON contains the findings as values and the notes as sentences, with a schema."""
    content = json.loads(formats.FORMATS["json"].write(ANSWER))
    assert content["schema"] == 1
    assert content["exit_status"] == 1
    assert content["kind"] == "check"
    assert content["notes"] == ["base was interrupted"]
    assert content["findings"][0]["times"]["ratio"]["lo"] == 1.09
