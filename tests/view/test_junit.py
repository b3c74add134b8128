"""JUnit files have what the schemas of Ant and Jenkins demand, in their order, and nothing else."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from test_ci import ANSWER, INFO

from attn_bench.jobs.check.answer import Answer
from attn_bench.model.status import Exit
from attn_bench.view.junit import write_junit

WHOLE, DECIMAL, TEXT, ANY = r"\d+", r"\d+(\.\d+)?", r"\S.*", r".*"
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
TIMED = replace(
    ANSWER,
    info=replace(INFO, start="2026-02-28T23:59:58+00:00", end="2026-03-01T02:00:40+02:00"),
)


@dataclass(frozen=True)
class Rule:
    """What an element may hold: patterns of its attributes, and of the names of its children."""

    required: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    children: str = ""
    has_text: bool = False


COUNTS = {"tests": WHOLE, "failures": WHOLE, "errors": WHOLE}
MESSAGE, TYPE = {"message": ANY}, {"type": TEXT}
SHARED = {
    "property": Rule({"name": TEXT, "value": ANY}),
    "properties": Rule(children="(property )*"),
    "system-out": Rule(has_text=True),
    "system-err": Rule(has_text=True),
}
# The rules of Ant's schema (windyroad/JUnit-Schema), and of Jenkins' (junit-10 of its xUnit plugin;
# earlier ones allowed three decimals in the time of a suite), in our own words.
ANT = SHARED | {
    "testsuite": Rule(
        {"name": TEXT, "timestamp": TIMESTAMP, "hostname": TEXT, "time": DECIMAL, **COUNTS},
        {"skipped": WHOLE},
        "properties (testcase )*system-out system-err ",
    ),
    "testcase": Rule(
        {"name": ANY, "classname": ANY, "time": DECIMAL}, {}, "((skipped|error|failure) )?"
    ),
    "skipped": Rule({}, MESSAGE, has_text=True),
    "error": Rule(TYPE, MESSAGE, has_text=True),
    "failure": Rule(TYPE, MESSAGE, has_text=True),
}
JENKINS = SHARED | {
    "testsuite": Rule(
        {"name": ANY, **COUNTS},
        {"timestamp": ANY, "hostname": ANY, "time": r"\d*(\.\d{0,3})?", "skipped": ANY},
        "((testsuite|properties|testcase|system-out|system-err) )*",
    ),
    "testcase": Rule(
        {"name": ANY},
        {"classname": ANY, "time": ANY},
        "((skipped|error|failure|system-out|system-err) )*",
    ),
    **dict.fromkeys(("skipped", "error", "failure"), Rule({}, MESSAGE | TYPE, has_text=True)),
}


def complaints(root: ElementTree.Element, schema: Mapping[str, Rule]) -> list[str]:
    """Where a document breaks the rules of a schema."""
    found = []
    for element in root.iter():
        rule = schema[element.tag]
        found += [f"{element.tag} has no {n}" for n in rule.required.keys() - element.attrib.keys()]
        patterns = {**rule.required, **rule.optional}
        for name, value in element.attrib.items():
            if not re.fullmatch(patterns.get(name, "(?!)"), value):
                found.append(f"{element.tag} {name}={value}")
        children = "".join(f"{child.tag} " for child in element)
        if not re.fullmatch(rule.children, children):
            found.append(f"{element.tag} contains {children}")
        if not rule.has_text and (element.text or "").strip():
            found.append(f"{element.tag} contains text")
    return found


@pytest.mark.parametrize("schema", [ANT, JENKINS], ids=["Ant", "Jenkins"])
@pytest.mark.parametrize("answer", [TIMED, replace(TIMED, exit_status=Exit.GOOD)], ids=["1", "0"])
def test_the_schemas_are_kept(answer: Answer, schema: Mapping[str, Rule]) -> None:
    """Attributes, types, elements and their order are those of the schema."""
    assert complaints(ElementTree.fromstring(write_junit(answer)), schema) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('timestamp="2026-02-28T23:59:58"', 'timestamp="2026-02-28T23:59:58Z"'),
        ('timestamp="2026-02-28T23:59:58" ', ""),
        ('hostname="localhost" ', ""),
        ("<system-err />", ""),
        ('type="slower"', ""),
        ("<properties>", "<properties/><properties>"),
        ('<testcase classname="smoke"', '<testcase file="a.py" classname="smoke"'),
        ("</failure>", "</failure><system-out/>"),
    ],
)
def test_the_rules_of_ant_find_a_mistake(old: str, new: str) -> None:
    """The test above can fail."""
    written = write_junit(TIMED)
    assert old in written
    assert complaints(ElementTree.fromstring(written.replace(old, new, 1)), ANT)


def test_a_suite_has_its_time_and_no_machine() -> None:
    """The start is in UTC, the time is that of the run; the name of the machine stays unknown."""
    suite = ElementTree.fromstring(write_junit(TIMED))
    assert suite.get("timestamp") == "2026-02-28T23:59:58"
    assert suite.get("time") == "42.000"
    assert suite.get("hostname") == "localhost"
    assert [case.get("time") for case in suite.iter("testcase")][:2] == [
        "0.000110000",
        "0.000000000",
    ]


@pytest.mark.parametrize("moment", [None, "", "yesterday", "9999-12-31T23:59:59-23:59"])
def test_a_moment_that_is_none_is_left_out(moment: str | None) -> None:
    """A stored run may contain anything as its start."""
    suite = ElementTree.fromstring(write_junit(replace(ANSWER, info=replace(INFO, start=moment))))
    assert suite.get("timestamp") is None
    assert suite.get("time") == "0.000"
