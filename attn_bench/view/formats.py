"""The table of the formats of a check's answer: a format is one entry of FORMATS.

Each entry is an option `--NAME FILE` of `check` and `compare`. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from attn_bench.model.text import markdown
from attn_bench.store.tables import markdown_table
from attn_bench.view import action_benchmark, findings, remarks, versions
from attn_bench.view.annotations import write_codequality
from attn_bench.view.json_answer import as_json
from attn_bench.view.junit import write_junit
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


def write_badge(answer: Answer) -> str:
    """The answer as a badge: the JSON that shields.io reads from an address."""
    counts = Counter(f.verdict for f in answer.findings if f.severity not in ("warn", "pass"))
    message, colour = f"{len(answer.findings)} passed", "brightgreen"
    if counts:
        message = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        colour = "yellow" if counts.keys() == {"undecided"} else "red"
    elif all(finding.verdict == "new" for finding in answer.findings):
        message, colour = "nothing compared", "yellow"
    badge = {"schemaVersion": 1, "label": "attn-bench", "message": message, "color": colour}
    return json.dumps(badge) + "\n"


FORMATS: Mapping[str, Format] = {
    "markdown": Format("Markdown", write_markdown),
    "junit": Format("JUnit XML", write_junit),
    "json": Format("JSON", write_json),
    "codequality": Format("GitLab's report of code quality", write_codequality),
    "github-action-benchmark": Format(
        "the JSON of github-action-benchmark", action_benchmark.from_answer
    ),
    "badge": Format("the JSON of a badge, for shields.io", write_badge),
}
