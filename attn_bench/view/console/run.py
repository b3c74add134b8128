"""`run` and `show` on the console: the plan, the summary of a run, the published networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from attn_bench.model import units
from attn_bench.model.request import show_resume
from attn_bench.model.row import Row
from attn_bench.papers import reproduction
from attn_bench.papers.reproduction import Comparison
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import StoredRun
from attn_bench.view import answer, remarks, summary, versions
from attn_bench.view.answer import Answer
from attn_bench.view.console.plain import line, print_aligned
from attn_bench.view.console.tables import Column, print_table
from attn_bench.view.console.terminal import open_stdout, paragraph, warn
from attn_bench.view.crossed.crossed import cross
from attn_bench.view.markup import escape

if TYPE_CHECKING:
    from rich.console import Console

    from attn_bench.jobs.run import Planned


def show_plan(planned: Planned) -> None:
    """Show the cases that a run would measure, and how precise they would be."""
    plan, settings = planned.plan, planned.settings
    for case in plan.cases:
        reason = plan.unsupported.get(case.id)
        line(f"{case.id}  unsupported: {reason}" if reason else case.id)
    line(
        f"{units.number(len(plan.measurable), 'case')} would be measured in "
        f"{units.number(settings.sessions, 'session')}, for at most "
        f"{units.seconds(settings.budget_s)} or until every latency and ratio is known to "
        f"± {units.percent(settings.precision)}"
    )
    if planned.like is None or planned.reaches is None:
        line("No forecast: this machine has no stored run of these cases with these settings.")
        return
    reached = f"nine of ten ratios known to ± {units.percent(planned.reaches)}"
    if planned.reaches > units.WIDE:
        reached = f"ratios not known to ± {units.percent(units.WIDE)}, so unclear"
    line(f"Forecast from {planned.like}: {reached}.")
    for words in remarks.describe_needs(planned.needs, settings):
        line(words)


def show(run: StoredRun) -> None:
    """Show a run: its answer, its tables, unmeasured cases, warnings, and its folder."""
    console, info, rows = open_stdout(), run.info, run.rows
    found = answer.find_answer(run)
    is_whole = found is not None and found.is_whole
    title = found.title if found is not None and is_whole else info.suite.title
    console.print(f"[bold]{escape(title)}[/]")
    console.print(f"{escape(remarks.name_machine(info))}\n")
    if found is not None:
        show_answer(console, replace(found, title="") if is_whole else found)
    if info.check is not None and (both := versions.of_stored_check(rows, info.check)):
        columns = [Column(h, "left" if n < 3 else "right") for n, h in enumerate(versions.HEADINGS)]
        print_table(console, columns, [list(map(escape, line)) for line in both], repeated=2)
    if info.suite.published:
        show_published(rows, info)
    elif not is_whole and any(map(summary.has_figures, rows)):
        baseline = remarks.name_baseline(rows, info)
        show_crossed(console, rows, baseline)
        show_tables(console, rows, baseline)
    for words in () if is_whole else remarks.list_remarks(rows, info):
        paragraph(words)
    for words in remarks.list_notes(rows, info):
        paragraph(words)
    for words in remarks.list_warnings(info):
        warn(words)
    line(f"run folder: {run.path}")
    if info.kind == "run" and info.state == "interrupted":
        files = info.request.modules_from if info.request else ()
        line("This command resumes it:")
        line(f"    {show_resume(run.path, files)}")


def show_answer(console: Console, found: Answer) -> None:
    """Show the sentences of an answer, and its small table."""
    if found.title:
        console.print(f"[bold]{escape(found.title)}[/]")
    for number, sentence in enumerate(found.sentences):
        console.print(escape(sentence), style=None if number else "bold")
    console.print()
    if found.lines:
        align: Literal["left", "right"] = "right" if found.is_whole else "left"
        first, *others = found.headings
        columns = [Column(first, "left"), *(Column(heading, align) for heading in others)]
        is_check = "verdict" in found.headings  # whose second column names the case
        lines = [list(map(escape, cells)) for cells in found.lines]
        print_table(console, columns, lines, repeated=2 if is_check else 1)
    for words in found.legend:
        paragraph(words)
    if found.legend:
        line("")


def show_crossed(console: Console, rows: Sequence[Row], baseline: str) -> None:
    """Show a table for each shape that was measured in several executions, and what differs."""
    for crossed in cross(rows, baseline):
        first, *others = crossed.headings
        columns = [Column(first, "left"), *map(Column, others)]
        lines = [list(map(escape, line)) for line in crossed.lines]
        print_table(console, columns, lines, title=crossed.title)


def show_tables(console: Console, rows: Sequence[Row], baseline: str) -> None:
    """Show a table for each shape, with the best of each column, and what the signs mean."""
    for each in summary.summarise(rows, baseline):
        module, *others = each.headings(baseline)
        columns = [Column(module, "left"), *(Column(heading) for heading in others)]
        body = [[*map(escape, each.words(one)), *_figures(one)] for one in each.lines]
        words = len(columns) - len(each.columns)
        print_table(console, columns, body, title=each.title, repeated=words)
    for legend in summary.make_legends(rows):
        console.print(f"[dim]{legend}[/]")
    console.print()


def _figures(shown: summary.Line) -> list[str]:
    figures = [f"[bold green]{c.text}*[/]" if c.best else f"{c.text} " for c in shown.cells]
    return figures or [f"[dim]{shown.row.status}[/]"]


def show_published(rows: Sequence[Row], info: RunInfo) -> None:
    """Show our figures beside those of the papers, by source, and the rows left out."""
    found = reproduction.compare(rows, info.operations, info.device)
    for (source, about), group in groupby(found, key=lambda c: (c.source, c.convention)):
        line(source)
        line(f"the source counts: {about}")
        _show_comparisons(group)
        line("")
    verdicts = Counter(figure.verdict for comparison in found for figure in comparison.figures)
    counts = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())
    line(f"figures: {counts}")
    for reason, number in reproduction.count_left_out().items():
        line(f"not rebuilt: {units.number(number, 'row')}: {reason}")


def _show_comparisons(comparisons: Iterable[Comparison]) -> None:
    cells = [["network", "figure", "ours", "published", ""]]
    for comparison in comparisons:
        origin = "" if comparison.provenance == "read" else f" ({comparison.provenance})"
        for figure in comparison.figures:
            verdict = figure.verdict + (f": {figure.why}" if figure.why else "")
            cells.append(
                [comparison.model, figure.name, figure.ours, figure.theirs + origin, verdict]
            )
    print_aligned(cells, [False, False, True, False, False])
