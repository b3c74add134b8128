"""The findings of a check at the lines of the modules, for GitHub and GitLab. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from attn_bench.model.text import printable, workflow_command
from attn_bench.view import findings

if TYPE_CHECKING:
    from attn_bench.jobs.check.answer import Answer

GITHUB_LEVELS = {"fail": "error", "broken": "error", "undecided": "warning", "warn": "warning"}
GITLAB_LEVELS = {"fail": "major", "broken": "critical", "undecided": "info", "warn": "minor"}


def write_annotations(answer: Answer) -> str:
    """The findings as workflow commands, which GitHub shows on the run and the pull request."""
    lines = []
    for finding in answer.findings:
        if (level := GITHUB_LEVELS.get(finding.severity)) is not None:
            place = answer.definitions.get(finding.module)
            where = {"file": place.file, "line": str(place.line)} if place else {}
            title = f"attn-bench: {finding.verdict}"
            words = findings.describe(finding)
            lines.append(workflow_command(level, words, title=title, **where))
    return "".join(lines)


def write_codequality(answer: Answer) -> str:
    """The findings as GitLab's report of code quality. Each entry must have a file and a line."""
    found = []
    for finding in answer.findings:
        level, place = GITLAB_LEVELS.get(finding.severity), answer.definitions.get(finding.module)
        if level is not None and place is not None:
            key = f"{finding.verdict} {finding.case_id}".encode(errors="backslashreplace")
            entry = {
                "description": printable(findings.describe(finding)),
                "check_name": f"attn-bench: {finding.verdict}",
                "fingerprint": hashlib.sha256(key).hexdigest(),
                "severity": level,
                "location": {"path": place.file, "lines": {"begin": place.line}},
            }
            found.append(entry)
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
