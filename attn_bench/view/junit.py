"""The answer of a check as JUnit XML, valid against the schemas of Ant and Jenkins. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from attn_bench.model.status import Exit
from attn_bench.model.text import printable
from attn_bench.view.findings import describe

if TYPE_CHECKING:
    from attn_bench.jobs.check.answer import Answer
    from attn_bench.store.info import RunInfo


def write_junit(answer: Answer) -> str:
    """A regression is a failure, an unmeasured case is an error, a new case is skipped.

    An undecided case is an error, or skipped if undecided is allowed. The time of a case is its new
    latency. The schema demands a number, which is 0 without a latency.
    """
    undecided = "skipped" if answer.exit_status == Exit.GOOD else "error"
    kinds = {"fail": "failure", "broken": "error", "undecided": undecided}
    tags = [kinds.get(f.severity, "skipped" if f.verdict == "new" else "") for f in answer.findings]
    words = [printable(describe(finding)) for finding in answer.findings]
    root = ElementTree.Element("testsuite", _describe_suite(answer, Counter(tags)))
    properties = ElementTree.SubElement(root, "properties")
    for name, value in (("baseline", answer.baseline), ("device", answer.info.device)):
        ElementTree.SubElement(properties, "property", name=name, value=printable(value))
    for finding, tag, line in zip(answer.findings, tags, words, strict=True):
        new_us = finding.times.new_us if finding.times else None
        case = ElementTree.SubElement(
            root,
            "testcase",
            classname=printable(answer.suite),
            name=printable(finding.case_id),
            time=f"{(new_us or 0) / 1e6:.9f}",
        )
        if tag == "skipped":
            ElementTree.SubElement(case, tag, message=line)
        elif tag:
            ElementTree.SubElement(case, tag, message=line, type=finding.verdict).text = line
    ElementTree.SubElement(root, "system-out").text = "\n".join(words)
    ElementTree.SubElement(root, "system-err")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _describe_suite(answer: Answer, count: Counter[str]) -> dict[str, str]:
    """The attributes of the suite. The name of the machine is nobody's business."""
    start, end = _read_times(answer.info)
    return {
        "name": f"attn-bench {printable(answer.suite)}",
        **({"timestamp": f"{start:%Y-%m-%dT%H:%M:%S}"} if start else {}),
        "hostname": "localhost",
        "tests": str(len(answer.findings)),
        "failures": str(count["failure"]),
        "errors": str(count["error"]),
        "skipped": str(count["skipped"]),
        "time": f"{(end - start).total_seconds() if start and end else 0:.3f}",
    }


def _read_times(info: RunInfo) -> tuple[datetime | None, ...]:
    """When the run started and ended, in UTC; None if that is not known."""
    found: list[datetime | None] = []
    for moment in (info.start, info.end):
        try:
            found.append(datetime.fromisoformat(moment or "").astimezone(UTC))
        except (ValueError, OverflowError):  # a stored run may contain anything
            found.append(None)
    return tuple(found)
