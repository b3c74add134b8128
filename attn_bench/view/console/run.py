"""`run` and `show` on the console: the plan, the summary of a run, the published networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from attn_bench.model import units
from attn_bench.model.request import show_resume
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED
from attn_bench.papers import reproduction
from attn_bench.papers.reproduction import Comparison
from attn_bench.store.info import RunInfo
from attn_bench.view import remarks, summary, winners
from attn_bench.view.console.plain import line, print_aligned
from attn_bench.view.console.terminal import open_stdout, warn
from attn_bench.view.markup import escape

if TYPE_CHECKING:
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


def show(path: Path, rows: Sequence[Row], info: RunInfo) -> None:
    """Show a run: its summary, unmeasured cases, warnings, and its folder."""
    console = open_stdout()
    console.print(f"[bold]{escape(info.suite.title)}[/]")
    console.print(f"{escape(remarks.name_machine(info))}\n")
    if info.suite.published:
        show_published(rows, info)
    elif any(row.status in COUNTED for row in rows):
        for table in summary.make_tables(rows, remarks.name_baseline(rows, info)):
            console.print(table)
        console.print("[dim]" + "\n".join(summary.make_legends(rows)) + "[/]\n")
        for words in winners.name_winners(rows):
            console.print(escape(words), highlight=False)
    for words in remarks.list_remarks(rows, info):
        line(words)
    for words in remarks.list_notes(rows, info):
        line(words)
    for words in remarks.list_warnings(info):
        warn(words)
    line(f"run folder: {path}")
    if info.kind == "run" and info.state == "interrupted":
        files = info.request.modules_from if info.request else ()
        line("This command resumes it:")
        line(f"    {show_resume(path, files)}")


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
