"""Names, titles and reasons of others do nothing where they are shown."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from test_ci import ANSWER, FINDINGS

from attn_bench.catalog.definitions import Definition
from attn_bench.jobs.check.answer import Answer
from attn_bench.model.row import Row
from attn_bench.store.tables import as_csv, as_markdown
from attn_bench.view import formats
from attn_bench.view.annotations import write_annotations
from attn_bench.view.console import plain
from attn_bench.view.markup import escape
from benchmarks.hostile import TEXTS

named = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
WORKFLOW_COMMAND = re.compile(r"^\s*::[\w-]+(\s.*)?::|##\[", re.MULTILINE)


def answer_with(text: str) -> Answer:
    """An answer with `text` as suite, baseline, case and reason."""
    bad = replace(FINDINGS[1], case_id=f"{text}/1x2x3x4", module=text, reason=text)
    return replace(
        ANSWER,
        suite=text,
        baseline=text,
        findings=(bad, *FINDINGS),
        definitions={text: Definition(text, 1)},
    )


@named
def test_junit_is_well_formed(text: str) -> None:
    """A strict parser reads it, and the case is found under its escaped name."""
    root = ElementTree.fromstring(formats.FORMATS["junit"].write(answer_with(text)))
    cases = list(root.iter("testcase"))
    assert len(cases) == len(FINDINGS) + 1
    assert all(case.get("name", "").isprintable() for case in cases)


@named
def test_markdown_has_no_link_image_tag_or_mention(text: str) -> None:
    """What GitHub shows of an answer is what was found, as text."""
    row = Row(case_id=text, module=text, variant=text, error=text)
    for written in (
        formats.write_markdown(answer_with(text)),
        as_markdown([row], ["case_id", "module", "variant", "error"]),
    ):
        assert not WORKFLOW_COMMAND.search(written)
        assert not re.search(r"(?<![\w\\])@\w", written.replace("@<!-- -->", ""))
        for token in MarkdownIt("commonmark").enable("table").parse(written):
            for part in token.children or []:
                assert part.type not in ("link_open", "image", "strong_open", "em_open")
                assert part.type != "html_inline" or part.content == "<!-- -->"
            assert token.type != "html_block" or "details>" in token.content


@named
def test_a_text_begins_no_command_of_a_runner(text: str) -> None:
    """Neither on the console nor in an annotation; ours begin a line and are escaped."""
    for line in write_annotations(answer_with(text)).splitlines():
        begin, _, message = line.partition("::")[2].partition("::")
        assert begin.startswith(("error title=attn-bench%3A ", "warning title=attn-bench%3A "))
        assert begin.count(",") in (0, 2)
        assert begin.isprintable()
        assert not WORKFLOW_COMMAND.search(message)
        assert message.isprintable()


@named
def test_the_console_shows_it_escaped(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line stays one line, and no character acts on the terminal."""
    plain.line(f"title: {text}")
    plain.error(text)
    out, err = capsys.readouterr()
    for shown in (out, err, escape(text)):
        assert shown.removesuffix("\n").isprintable() or not shown.strip()
        assert not WORKFLOW_COMMAND.search(shown)


@named
def test_a_csv_cell_is_no_formula(text: str) -> None:
    """A spreadsheet shows the text, and a program finds it after the apostrophe."""
    row = Row(case_id=text.replace("\ud800", "?"), module="m", variant="v", ratio=1.0)
    (_, (cell, *_)) = csv.reader(io.StringIO(as_csv([row], ["case_id", "ratio"])))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == row.case_id or "\r" in row.case_id


@named
def test_json_is_json(text: str) -> None:
    """Any text is written, and read again."""
    for name in ("json", "codequality", "github-action-benchmark", "badge"):
        written = formats.FORMATS[name].write(answer_with(text))
        assert json.loads(written.encode(errors="backslashreplace"))
