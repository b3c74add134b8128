"""The table of the formats of a check's answer: a format is one entry of FORMATS.

Each entry is an option `--NAME FILE` of `check` and `compare`. Pure.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from attn_bench.model.status import Exit
from attn_bench.model.text import markdown, printable
from attn_bench.store.tables import markdown_table
from attn_bench.view import findings, remarks, versions
from attn_bench.view.json_answer import as_json
from attn_bench.view.notes import describe

if TYPE_CHECKING:
    from attn_bench.analysis.verdicts import Finding
    from attn_bench.jobs.check.answer import Answer


@dataclass(frozen=True)
class Format:
    """A format of an answer.

    title: its name in the help.
    write: makes the text of an answer.
    """

    title: str
    write: Callable[[Answer], str]


def write_markdown(answer: Answer) -> str:
    """The answer for a pull request: the changes, the worst first; unchanged cases are folded."""
    notable = findings.find_notable(answer.findings)
    rest = [finding for finding in answer.findings if finding not in notable]
    seen = findings.describe_visibility(answer.findings)
    lines = versions.side_by_side(answer.rows, answer.findings)
    parts = [
        f"### attn-bench: {markdown(answer.suite)} against {markdown(answer.baseline)}\n",
        f"{findings.summarise(answer.findings)}.\n",
        *([_write_table(notable)] if notable else []),
        *([_write_versions(lines)] if lines else []),
        *(["<details><summary>unchanged</summary>\n"] if rest else []),
        *([_write_table(rest), "</details>\n"] if rest else []),
        f"{f'{seen} ' if seen else ''}Exit status {int(answer.exit_status)}.\n",
        "".join(f"- {markdown(words)}\n" for words in _remarks(answer)),
    ]
    return "\n".join(parts)


def _remarks(answer: Answer) -> Iterator[str]:
    yield from map(describe, answer.notes)
    yield from (f"warning: {words}" for words in remarks.list_warnings(answer.info))


def _write_table(members: Sequence[Finding]) -> str:
    cells = [[markdown(cell) for cell in findings.make_cells(finding)] for finding in members]
    return markdown_table(findings.HEADINGS, cells)


def _write_versions(lines: Sequence[Sequence[str]]) -> str:
    return markdown_table(versions.HEADINGS, [list(map(markdown, line)) for line in lines])


def write_junit(answer: Answer) -> str:
    """The answer as JUnit XML: a regression is a failure, an unmeasured case is an error.

    An undecided case is an error, or skipped if undecided is allowed. A new case is skipped.
    """
    undecided = "skipped" if answer.exit_status == Exit.GOOD else "error"
    kinds = {"fail": "failure", "broken": "error", "undecided": undecided}
    tags = [kinds.get(f.severity, "skipped" if f.verdict == "new" else "") for f in answer.findings]
    count = Counter(tags)
    root = ElementTree.Element(
        "testsuite",
        name=f"attn-bench {printable(answer.suite)}",
        tests=str(len(answer.findings)),
        failures=str(count["failure"]),
        errors=str(count["error"]),
        skipped=str(count["skipped"]),
    )
    for finding, tag in zip(answer.findings, tags, strict=True):
        case = ElementTree.SubElement(
            root,
            "testcase",
            classname=printable(answer.suite),
            name=printable(finding.case_id),
        )
        if finding.times and finding.times.new_us is not None:
            case.set("time", f"{finding.times.new_us / 1e6:.9f}")
        words = printable(findings.describe(finding))
        if tag:
            ElementTree.SubElement(case, tag, message=words)
        ElementTree.SubElement(case, "system-out").text = words
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write_json(answer: Answer) -> str:
    """The whole answer as JSON."""
    content = {
        "suite": answer.suite,
        "baseline": answer.baseline,
        "exit_status": answer.exit_status,
        "environment": asdict(answer.info.environment),
        "notes": [describe(note) for note in answer.notes],
        "warnings": remarks.list_warnings(answer.info),
        "findings": [asdict(finding) for finding in answer.findings],
    }
    return as_json("check", content)


FORMATS: Mapping[str, Format] = {
    "markdown": Format("Markdown", write_markdown),
    "junit": Format("JUnit XML", write_junit),
    "json": Format("JSON", write_json),
}


# --- GitHub's workflow commands on standard output ------------------------------------------------


def write_annotations(answer: Answer) -> str:
    """The findings as workflow commands, which GitHub shows on the run and the pull request."""
    levels = {"fail": "error", "broken": "error", "undecided": "warning", "warn": "warning"}
    lines = [
        f"::{levels[f.severity]} title=attn-bench%3A {f.verdict}::{_escape(f)}\n"
        for f in answer.findings
        if f.severity in levels
    ]
    return "".join(lines)


def _escape(finding: Finding) -> str:
    """The message of a workflow command, in which % begins an escape."""
    return printable(findings.describe(finding)).replace("%", "%25")
