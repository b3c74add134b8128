"""A run as Markdown: its answer, its tables with intervals, its remarks."""

from __future__ import annotations

from collections.abc import Sequence

from attn_bench.model.text import markdown
from attn_bench.store.runs import StoredRun
from attn_bench.store.tables import markdown_table
from attn_bench.view import remarks, versions
from attn_bench.view.answer import find_answer
from attn_bench.view.crossed.crossed import cross
from attn_bench.view.sheets import Sheet, make_sheets
from attn_bench.view.summary import Cell, make_legends


def write(run: StoredRun, columns: Sequence[str]) -> str:
    """The whole run; with `columns`, one table of these."""
    sheets = list(make_sheets(run, columns))
    if columns:
        return _table(sheets[0])
    info = run.info
    parts = [f"### {markdown(info.suite.title)}\n", f"{markdown(remarks.name_machine(info))}\n"]
    if (answer := find_answer(run)) is not None:
        parts += [f"**{markdown(sentence)}**\n" for sentence in answer.sentences]
        if answer.lines:
            lines = [list(map(markdown, line)) for line in answer.lines]
            parts.append(markdown_table(list(map(markdown, answer.headings)), lines))
        parts += [f"{markdown(words)}\n" for words in answer.legend]
        if answer.is_whole:
            return "\n".join(parts)
    if info.check is not None and (both := versions.of_stored_check(run.rows, info.check)):
        lines = [list(map(markdown, line)) for line in both]
        parts.append(markdown_table(versions.HEADINGS, lines))
    for crossed in cross(run.rows, remarks.name_baseline(run.rows, info)):
        lines = [list(map(markdown, line)) for line in crossed.lines]
        right = len(crossed.headings) - 1
        parts.append(f"#### {markdown(crossed.title)}\n")
        parts.append(markdown_table(list(map(markdown, crossed.headings)), lines, right=right))
    for sheet in sheets:
        parts += [f"#### {markdown(sheet.title)}\n", _table(sheet)]
    parts += [f"{markdown(words)}\n" for words in make_legends(run.rows) if sheets]
    said = [
        *remarks.list_remarks(run.rows, info),
        *remarks.list_notes(run.rows, info),
        *(f"warning: {words}" for words in remarks.list_warnings(info)),
    ]
    return "\n".join([*parts, "".join(f"- {markdown(words)}\n" for words in said)])


def _table(sheet: Sheet) -> str:
    lines = [list(map(_cell, line)) for line in sheet.lines]
    return markdown_table(
        list(map(markdown, sheet.headings)), lines, right=len(sheet.headings) - sheet.words
    )


def _cell(cell: Cell) -> str:
    return f"**{markdown(cell.text)}**" if cell.best else markdown(cell.text)
