"""Runs as HTML: the values for the templates."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from markupsafe import Markup

from attn_bench.model.row import Row
from attn_bench.store.runs import StoredRun
from attn_bench.view import remarks
from attn_bench.view.answer import Answer, compare_runs, find_answer
from attn_bench.view.crossed.crossed import cross
from attn_bench.view.page.drawing import Picture
from attn_bench.view.page.facts import list_facts
from attn_bench.view.page.samples import collect
from attn_bench.view.page.shown import Shown, all_rows
from attn_bench.view.page.table import find_filters, make_table
from attn_bench.view.page.template import draw_panels, fill, read
from attn_bench.view.summary import make_legends, summarise


def render(shown: Sequence[Shown], pictures: Sequence[Picture]) -> str:
    """The whole page of one run or several as one text, which loads no other file."""
    columns, cases, body = make_table(shown)
    script = read("report.js")
    rows = [row for _, row in all_rows(shown)]
    return fill(
        "report.html",
        shown=shown,
        title=_title(shown),
        answers=_answers(shown),
        crossed=[crossed for each in shown for crossed in cross(each.run.rows, each.baseline)],
        counts=_counts(rows),
        figures=[(picture, draw_panels(picture)) for picture in pictures],
        legend=" ".join(make_legends(rows)),
        columns=columns,
        rows=list(zip(cases, body, strict=True)),
        filters=find_filters(columns, body),
        warnings=_of_each(shown, lambda each: remarks.list_warnings(each.run.info)),
        remarks=_of_each(shown, lambda each: _remarks(each.run)),
        machines=_of_each(shown, lambda each: [remarks.name_machine(each.run.info)]),
        facts=[(each, list(list_facts(each.run.info))) for each in shown],
        samples=_as_data(collect(shown, cases)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _title(shown: Sequence[Shown]) -> str:
    """The question of a recommendation, or the titles of the suites."""
    if len(shown) == 1 and shown[0].kept:
        return shown[0].kept.question
    return " / ".join(dict.fromkeys(each.run.info.suite.title for each in shown))


def _answers(shown: Sequence[Shown]) -> list[Answer]:
    """The answer of each run, after what changed from the first to the last."""
    answers = []
    if len(shown) > 1 and (change := compare_runs(shown[0].run, shown[-1].run)) is not None:
        answers.append(change)
    for each in shown:
        if (answer := find_answer(each.run)) is not None:
            asked = answer.title if answer.title != _title(shown) else ""
            title = ": ".join(filter(None, [each.label, asked])) or "Answer"
            answers.append(replace(answer, title=title))
    return answers


def _of_each(shown: Sequence[Shown], lines: Callable[[Shown], Sequence[str]]) -> list[str]:
    """Lines about the runs, each with the name of its run if there are several."""
    return [
        f"{each.label}: {line}" if each.label else line for each in shown for line in lines(each)
    ]


def _as_data(values: object) -> Markup:
    """JSON for a script element: numbers alone, so that nothing can end the element."""
    return Markup(json.dumps(values, separators=(",", ":")))


def fragment(run: StoredRun) -> str:
    """The tables and remarks of the console as HTML without scripts, for a notebook."""
    baseline = remarks.name_baseline(run.rows, run.info)
    return fill(
        "fragment.html",
        info=run.info,
        machine=remarks.name_machine(run.info),
        answer=find_answer(run),
        warnings=remarks.list_warnings(run.info),
        remarks=_remarks(run),
        summaries=list(summarise(run.rows, baseline)),
        baseline=baseline,
        legend=" ".join(make_legends(run.rows)),
        path=run.path,
    )


def _remarks(run: StoredRun) -> list[str]:
    """The sentences around the table, as the console has them."""
    found = remarks.list_remarks(run.rows, run.info)
    return [*found, *remarks.list_notes(run.rows, run.info)]


def _counts(rows: Sequence[Row]) -> str:
    """The number of cases with each status.

    >>> _counts([Row(status="ok"), Row(status="failed"), Row(status="ok")])
    '3 cases: 2 ok, 1 failed'
    """
    found: dict[str, int] = {}
    for row in rows:
        found[row.status] = found.get(row.status, 0) + 1
    return f"{len(rows)} cases: " + ", ".join(f"{n} {status}" for status, n in found.items())
