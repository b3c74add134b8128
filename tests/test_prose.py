"""The rules of plain English that a program can check: phrases, first sentences, length."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import ROOT

LONGEST_SENTENCE = 25  # words
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [
    file
    for file in sorted([*(ROOT / "attn_bench").rglob("*.py"), *(ROOT / "modules").glob("*.py")])
    if not file.is_relative_to(ROOT / "attn_bench" / "modules")  # a link to modules/
]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))

# Each of these is always wrong: it says in a roundabout way what a plain phrase says.
BANNED = re.compile(
    r"gone on with|goes on from|left nothing to go on|"
    r"\b(could|can|may) be had\b|\bhad from\b|\bis had\b|"
    r"To know of it|[Oo]f these, |"
    r"\b(is|are) told to be\b|\bit is (said|told) that\b|\btold (otherwise|apart by)\b|"
    r"\bsays so\b|"
    r"\b(is|are) no (finite|name|limit|input|number|range|choice|place|comparison|record)\b|"
    r"\bbeaten by none\b|\bnone that is\b|\bcannot be told from\b|\bwas not left alone\b|"
    r"\bbrought about\b|\bas fast as can be\b|\bas fast to [\d.]+ times|"
    r"\b[Ww]hoever\b|\b[Ss]omebody\b|\bone's own\b|\bof (its|their) own\b|\bfor want of\b|"
    r"\bin the midst of\b|\bthere is no such\b|\ball the same\b"
)


def prose(page: Path) -> str:
    """The sentences of a page, without code blocks, tables, headings and link targets."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"^(#|\||!|<).*$", "", text, flags=re.M)
    text = re.sub(r"^[-*] ", "\n\n", text, flags=re.M)
    return re.sub(r"\]\([^)]*\)", "]", text)


def sentences(text: str) -> Iterator[str]:
    """Split at a full stop, a question mark or a colon before a space, and at empty lines."""
    for paragraph in re.split(r"\n\s*\n", text):
        yield from re.split(r"(?<=[.?!:])\s+(?=[A-Z`*(\[])", " ".join(paragraph.split()))


@pytest.mark.parametrize(
    "file", [*PAGES, *SOURCES, *BENCHMARKS], ids=lambda file: str(file.relative_to(ROOT))
)
def test_no_roundabout_phrase(file: Path) -> None:
    """No page, message, docstring or comment has a phrase that is always wrong."""
    text = " ".join(file.read_text(encoding="utf-8").split())
    assert [match[0] for match in BANNED.finditer(text)] == []


@pytest.mark.parametrize(
    "sentence",
    [
        "a check is not gone on with",
        "No ratio could be had.",
        "'10%' is no limit",
        "who is on it is beaten by none that is cheaper",
        "its global extent is as fast to 1.6 times",
        "how that is brought about",
    ],
)
def test_the_phrases_of_the_style_page_are_banned(sentence: str) -> None:
    """The pattern finds the examples of the style page."""
    assert BANNED.search(sentence)


@pytest.mark.parametrize(
    "file", [*SOURCES, *BENCHMARKS], ids=lambda file: str(file.relative_to(ROOT))
)
def test_every_file_begins_with_a_sentence(file: Path) -> None:
    """The docstring of a file begins with a sentence on one line, or in one short paragraph."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert docstring is not None
    first = " ".join(docstring.split("\n\n")[0].split())
    assert re.match(r"\S.*\.$", first)


def test_sentences_of_the_readme_are_short() -> None:
    """A sentence of README.md has at most 25 words."""
    found = list(sentences(prose(ROOT / "README.md")))
    assert len(found) > 40
    assert [one for one in found if len(one.split()) > LONGEST_SENTENCE] == []
