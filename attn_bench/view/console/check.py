"""`check` and `compare` on the console: the changes, the worst first, and how reliable they are."""

from __future__ import annotations

from rich.console import Console

from attn_bench.analysis.verdicts import Finding
from attn_bench.jobs.check.answer import Answer
from attn_bench.view import findings, remarks
from attn_bench.view.console.plain import line
from attn_bench.view.console.terminal import open_stdout, warn
from attn_bench.view.markup import escape
from attn_bench.view.notes import describe

VERDICT_COLOURS = {
    **dict.fromkeys(("slower", "heavier", "missing", "failed"), "red"),
    **dict.fromkeys(("faster", "lighter"), "green"),
    "undecided": "yellow",
}


def show(answer: Answer) -> None:
    """Show the findings that need attention, then a summary, notes and warnings."""
    console = open_stdout()
    console.print(f"[bold]{escape(answer.suite)} against {escape(answer.baseline)}[/]\n")
    notable = findings.find_notable(answer.findings)
    for finding in notable:
        _show_finding(finding, console)
    if notable:
        line("")
    line(f"{findings.summarise(answer.findings)}.")
    if seen := findings.describe_visibility(answer.findings):
        line(seen)
    for note in answer.notes:
        line(f"note: {describe(note)}")
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
