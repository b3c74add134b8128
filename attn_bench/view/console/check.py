"""`check` and `compare` on the console: the changes, the worst first, and how reliable they are."""

from __future__ import annotations

from rich.console import Console

from attn_bench.analysis.verdicts import Finding
from attn_bench.jobs.check.answer import Answer
from attn_bench.model import units
from attn_bench.view import findings, remarks, versions
from attn_bench.view.console.plain import line
from attn_bench.view.console.tables import Column, print_table
from attn_bench.view.console.terminal import open_stdout, paragraph, warn
from attn_bench.view.markup import escape
from attn_bench.view.notes import describe

VERDICT_COLOURS = {
    **dict.fromkeys(("slower", "heavier", "missing", "failed"), "red"),
    **dict.fromkeys(("faster", "lighter"), "green"),
    "undecided": "yellow",
}


def show(answer: Answer) -> None:
    """Show the answer, then the findings that need attention, both versions, and notes."""
    console = open_stdout()
    console.print(f"[bold]{escape(answer.suite)} against {escape(answer.baseline)}[/]\n")
    paragraph(f"{findings.summarise(answer.findings)}.", style="bold")
    if seen := findings.describe_visibility(answer.findings):
        paragraph(seen)
    is_open = any(finding.severity == "undecided" for finding in answer.findings)
    if is_open and answer.path:
        seconds = units.seconds(answer.info.settings.budget_s)
        paragraph(f"More time decides more cases: --budget was {seconds}.")
    line("")
    notable = findings.find_notable(answer.findings)
    for finding in notable:
        _show_finding(finding, console)
    if notable:
        line("")
    if lines := versions.side_by_side(answer.rows, answer.findings):
        columns = [Column(h, "left" if i < 3 else "right") for i, h in enumerate(versions.HEADINGS)]
        print_table(console, columns, [list(map(escape, each)) for each in lines], repeated=2)
    for note in answer.notes:
        paragraph(f"note: {describe(note)}")
    if answer.path:
        for words in remarks.list_warnings(answer.info):
            warn(words)
        line(f"run folder: {answer.path}")


def _show_finding(finding: Finding, console: Console) -> None:
    cells = findings.make_cells(finding)
    colour = VERDICT_COLOURS.get(finding.verdict, "default")
    console.print(f"[bold {colour}]{cells.verdict}[/]  {escape(cells.case)}", soft_wrap=True)
    if finding.times:
        line(f"    {findings.describe_times(cells)}")
    if cells.why:
        line(f"    {cells.why}")
