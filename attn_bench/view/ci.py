"""A check as others read it: Markdown, JUnit XML, GitHub's annotations, JSON. Pure."""

from __future__ import annotations

import html
import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from attn_bench.analysis.verdicts import Change, Finding, worst_first
from attn_bench.jobs.check.answer import Answer
from attn_bench.model import units
from attn_bench.model.status import Exit
from attn_bench.view import remarks

SCHEMA = 1
HEADINGS = ("verdict", "case", "old", "new", "new / old", "sees", "why")


def cells(finding: Finding) -> tuple[str, ...]:
    """One finding under HEADINGS: times in µs, the ratio with its interval, the smallest slowdown
    that this run would have seen, and what else there is to say."""
    times = finding.times
    why = [_change(change) for change in finding.changes]
    if finding.reason:
        why.append(finding.reason)
    verdict = f"{finding.verdict} (warning)" if finding.severity == "warn" else finding.verdict
    return (
        verdict,
        finding.case_id,
        units.microseconds(times.old_us) if times else "",
        units.microseconds(times.new_us) if times else "",
        units.with_interval((times.ratio.value, times.ratio.lo, times.ratio.hi)) if times else "",
        _visible(times.visible) if times else "",
        "; ".join(why),
    )


def visibility(findings: Sequence[Finding]) -> str | None:
    """What the run could have seen, in a sentence."""
    seen = sorted(finding.times.visible for finding in findings if finding.times)
    if not seen:
        return None
    worst = f"; of the worst case {_visible(seen[-1])}" if len(seen) > 1 else ""
    middle = _visible(seen[len(seen) // 2])
    return f"This run would have seen a slowdown of {middle} nine times of ten{worst}."


def _visible(fraction: float) -> str:
    return units.percent(fraction) if fraction < 1 else "> 100 %"


def summary_line(findings: Sequence[Finding]) -> str:
    """
    >>> summary_line([Finding("a", "se", "same", "pass"), Finding("b", "se", "slower", "fail")])
    '2 cases: 1 slower, 1 same'
    """
    counts = Counter(finding.verdict for finding in findings)
    ordered = dict.fromkeys(finding.verdict for finding in worst_first(findings))
    noun = "case" if len(findings) == 1 else "cases"
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ordered)
    if all(finding.verdict == "new" for finding in findings):
        said += " (nothing was compared)"
    return f"{len(findings)} {noun}: {said}"


def changed(findings: Sequence[Finding]) -> list[Finding]:
    """All but those of which there is nothing to say."""
    return [f for f in findings if f.verdict != "same" or f.changes]


def markdown(answer: Answer) -> str:
    """For a pull request: what changed, the worst first; the rest is folded away."""
    findings = answer.findings
    title = f"### attn-bench: `{answer.suite}` against `{answer.baseline}`"
    lines = [title, "", f"{summary_line(findings)}.", ""]
    notable = changed(findings)
    lines += _table(notable) if notable else []
    rest = [f for f in findings if f not in notable]
    if rest:
        lines += ["<details><summary>unchanged</summary>", "", *_table(rest), "</details>", ""]
    seen = visibility(findings)
    lines += [f"{seen} " if seen else "", f"Exit status {answer.exit_status}.", ""]
    lines += [f"- {note}" for note in answer.notes]
    lines += [f"- warning: {words}" for words in remarks.warnings(answer.info)]
    return "\n".join(lines) + "\n"


def _table(findings: Sequence[Finding]) -> list[str]:
    rows = [
        " | ".join(html.escape(c, quote=False).replace("|", "\\|") for c in cells(finding))
        for finding in findings
    ]
    head = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    return [*head, *(f"| {row} |" for row in rows), ""]


def junit(answer: Answer) -> str:
    """JUnit's XML: a regression is a failure, what could not be measured an error; what was not
    decided is an error too, or skipped where that was allowed; what is new is skipped."""
    findings = answer.findings
    undecided = "skipped" if answer.exit_status == Exit.GOOD else "error"
    kinds = {"fail": "failure", "broken": "error", "undecided": undecided}
    tags = [kinds.get(f.severity, "skipped" if f.verdict == "new" else "") for f in findings]
    count = Counter(tags)
    root = ElementTree.Element(
        "testsuite",
        name=f"attn-bench {answer.suite}",
        tests=str(len(findings)),
        failures=str(count["failure"]),
        errors=str(count["error"]),
        skipped=str(count["skipped"]),
    )
    for finding, tag in zip(findings, tags, strict=True):
        case = ElementTree.SubElement(
            root, "testcase", classname=answer.suite, name=finding.case_id
        )
        if finding.times and finding.times.new_us is not None:
            case.set("time", f"{finding.times.new_us / 1e6:.9f}")
        if tag:
            ElementTree.SubElement(case, tag, message=_in_xml(sentence(finding)))
        ElementTree.SubElement(case, "system-out").text = _in_xml(sentence(finding))
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def github(answer: Answer) -> str:
    """Workflow commands: GitHub shows them on the run and on the pull request."""
    levels = {"fail": "error", "broken": "error", "undecided": "warning", "warn": "warning"}
    lines = [
        f"::{levels[f.severity]} title=attn-bench%3A {f.verdict}::{_escaped(sentence(f))}\n"
        for f in answer.findings
        if f.severity in levels
    ]
    return "".join(lines)


def as_json(answer: Answer) -> str:
    """Everything, for programs."""
    content = {
        "schema": SCHEMA,
        "suite": answer.suite,
        "baseline": answer.baseline,
        "exit_status": answer.exit_status,
        "environment": asdict(answer.info.environment),
        "notes": list(answer.notes),
        "warnings": remarks.warnings(answer.info),
        "findings": [asdict(finding) for finding in answer.findings],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def sentence(finding: Finding) -> str:
    """Everything about one finding, in a line."""
    verdict, case, old, new, ratio, sees, why = cells(finding)
    said = [f"{verdict}: {case}"]
    if ratio:
        said.append(times_in_words(old, new, ratio, sees))
    if why:
        said.append(why)
    return "; ".join(said)


def times_in_words(old: str, new: str, ratio: str, sees: str) -> str:
    return f"old {old}, new {new}; in pairs, new / old {ratio}; sees {sees}"


def _change(change: Change) -> str:
    """What has changed by how much; what is beyond its tolerance is marked."""
    percent = f", {100 * (change.ratio - 1):+.2g} %" if change.old else ""
    mark = {"fail": ": too much", "warn": ": a warning"}.get(change.severity, "")
    grown = f"{change.new - change.old:+,.0f}{percent}"
    return f"{change.metric} {change.old:,.0f} → {change.new:,.0f} ({grown}){mark}"


def _in_xml(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _escaped(message: str) -> str:
    """As GitHub's workflow commands want it."""
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
