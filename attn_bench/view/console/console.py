"""Everything that a person sees: progress on standard error, tables and lists on standard output.

On a terminal it is live and in colour; elsewhere plain lines of text that do not change from run
to run but for their figures.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from attn_bench.jobs.check.answer import Answer
from attn_bench.jobs.recommend.answer import Recommendation
from attn_bench.model import units
from attn_bench.model.case import Variant
from attn_bench.model.checks import CHECKS, Check, Checked, CheckVerdict
from attn_bench.model.row import Row
from attn_bench.model.run import Plan, Settings
from attn_bench.papers import reproduction
from attn_bench.store.info import RunInfo
from attn_bench.view import candidates, ci, reasons, recommendation, remarks, summary
from attn_bench.view.console.plain import line, print_aligned

PLAIN_WIDTH = 100
REDRAW_S = 0.25
VERDICT_COLOURS = {
    **dict.fromkeys(("slower", "heavier", "missing", "failed"), "red"),
    **dict.fromkeys(("faster", "lighter"), "green"),
    "undecided": "yellow",
}
SIGNS: Mapping[CheckVerdict, str] = {
    "passed": "✓",
    "failed": "✗",
    "not_applicable": "–",
    "lost": "!",
}
PLAIN_SIGNS: Mapping[CheckVerdict, str] = {
    "passed": "+",
    "failed": "x",
    "not_applicable": "-",
    "lost": "!",
}
SIGN_COLOURS: Mapping[CheckVerdict, str] = {
    "passed": "green",
    "failed": "bold red",
    "not_applicable": "dim",
    "lost": "bold red",
}


def out() -> Console:
    return _console(sys.stdout)


def err() -> Console:
    return _console(sys.stderr)


def _console(stream: Any) -> Console:
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, emoji=False)


class LiveProgress:
    """One line: the stage, how much of it is done, how long it will take, what is measured now.

    It is drawn between blocks only, and a few times a second, so that it does not compete with
    what is measured. Where standard error is no terminal, a stage is one line when it begins.
    """

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[done]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("[bold]{task.fields[known]}"),
            TextColumn(
                "[dim]{task.fields[doing]}",
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=err(),
            auto_refresh=False,
            transient=True,
            expand=True,
        )
        self._live = sys.stderr.isatty()
        self._task: TaskID | None = None
        self._drawn = 0.0
        self._total, self._unit = 0.0, ""

    def stage(self, title: str, total: float, unit: str) -> None:
        self._total, self._unit = total, unit
        amount = "" if not unit else units.seconds(total) if unit == "s" else f"{total:g} {unit}"
        if not self._live:
            limit = "up to " if unit == "s" else ""
            err().print(f"{title} {limit}{amount} …".replace("  ", " "))
            return
        if self._task is None:
            self._bar.start()
        else:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total, done=amount, known="", doing="")
        self._bar.refresh()

    def step(self, done: float, doing: str, known: str = "") -> None:
        if self._task is None or time.monotonic() - self._drawn < REDRAW_S:
            return
        self._drawn = time.monotonic()
        amount = f"{done:.0f}/{self._total:.0f} {self._unit}"
        self._bar.update(
            self._task, completed=done, done=amount, known=escape(known), doing=escape(doing)
        )
        self._bar.refresh()

    def close(self) -> None:
        if self._task is not None:
            self._bar.stop()
            self._task = None


# --- lists ----------------------------------------------------------------------------------------


def wide_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """`columns` of every row, one line each, however wide."""
    numeric = [not any(isinstance(getattr(r, c), str) for r in rows) for c in columns]
    cells = [[units.plain(getattr(row, name)) for name in columns] for row in rows]
    print_aligned([list(columns), *cells], numeric)


# --- runs -----------------------------------------------------------------------------------------


def planned(plan: Plan, settings: Settings) -> None:
    """What a run would measure."""
    for case in plan.cases:
        reason = plan.unsupported.get(case.id)
        line(f"{case.id}  unsupported: {reason}" if reason else case.id)
    line(
        f"{len(plan.measurable)} cases would be measured in {settings.sessions} sessions for "
        f"{units.seconds(settings.budget_s)}, or until every ratio is known to "
        f"± {units.percent(settings.precision)}"
    )


def finished(path: Path, rows: Sequence[Row], info: RunInfo) -> None:
    """A run: its summary, what could not be measured, how far to trust it, and where it lies."""
    console = out()
    console.print(f"[bold]{escape(info.suite.title)}[/]")
    console.print(f"{escape(remarks.machine(info))}\n")
    if info.suite.published:
        published(rows, info)
    elif any(row.status == "ok" for row in rows):
        for table in summary.shape_tables(rows, info.suite.baseline):
            console.print(table)
        console.print("[dim]" + "\n".join(summary.legends(rows)) + "[/]\n")
    for words in remarks.below(rows, info):
        line(words)
    for words in remarks.warnings(info):
        warning(words)
    line(f"run folder: {path}")


def published(rows: Sequence[Row], info: RunInfo) -> None:
    """The published networks: ours beside theirs, by source, and what was left out."""
    found = reproduction.compare(rows, info.operations, info.device)
    for (source, about), group in groupby(found, key=lambda c: (c.source, c.convention)):
        line(source)
        line(f"counted as there: {about}")
        cells = [["network", "figure", "ours", "published", ""]]
        for comparison in group:
            recalled = "" if comparison.provenance == "read" else f" ({comparison.provenance})"
            for figure in comparison.figures:
                verdict = figure.verdict + (f": {figure.why}" if figure.why else "")
                cells.append(
                    [comparison.model, figure.name, figure.ours, figure.theirs + recalled, verdict]
                )
        print_aligned(cells, [False, False, True, False, False])
        line("")
    verdicts = Counter(figure.verdict for comparison in found for figure in comparison.figures)
    line(", ".join(f"{number} {verdict}" for verdict, number in verdicts.items()) + " (figures)")
    for reason, number in reproduction.left_out().items():
        line(f"not rebuilt: {number} rows: {reason}")


def checked(answer: Answer) -> None:
    """A check: what changed, the worst first, and how far to trust it."""
    console = out()
    console.print(f"[bold]{escape(answer.suite)} against {escape(answer.baseline)}[/]\n")
    notable = ci.changed(answer.findings)
    for verdict, case_id, old, new, ratio, sees, why in map(ci.cells, notable):
        colour = VERDICT_COLOURS.get(verdict.partition(" ")[0], "default")
        console.print(f"[bold {colour}]{verdict}[/]  {escape(case_id)}", soft_wrap=True)
        if ratio:
            line(f"    {ci.times_in_words(old, new, ratio, sees)}")
        if why:
            line(f"    {why}")
    if notable:
        line("")
    line(f"{ci.summary_line(answer.findings)}.")
    if seen := ci.visibility(answer.findings):
        line(seen)
    for note in answer.notes:
        line(f"note: {note}")
    for words in remarks.warnings(answer.info) if answer.path else ():
        warning(words)
    if answer.path:
        line(f"run folder: {answer.path}")


def recommended(answer: Recommendation) -> None:
    """A recommendation: every candidate, what to take and why, and what that does not know."""
    console = out()
    console.print(f"[bold]{escape(recommendation.title(answer))}[/]")
    console.print(f"{escape(remarks.machine(answer.info))}\n")
    console.print(candidates.table(answer.choice, console.width))
    for words in candidates.legend(answer.choice, console.width):
        line(words)
    line("")
    for words in reasons.reasons(answer.choice):
        console.print(f"[bold]{escape(words)}[/]", soft_wrap=True)
    line("\nCaveats:")
    for words in recommendation.caveats(answer):
        line(f"- {words}")
    measured = answer.measured
    for words in remarks.warnings(measured.info) if measured else ():
        warning(words)
    for name, number in answer.reused.items():
        line(f"{units.number(number, 'figure')} of the stored run {name} (--fresh measures anew)")
    if measured:
        line(f"run folder: {measured.path}")


def verified(rows: Sequence[tuple[Variant, Mapping[Check, Checked]]]) -> None:
    """The matrix of `verify`: a row a variant, a column a check, then every reason once.

    The names of the columns come down like stairs, so that they can be read whole.
    """
    signs, bar = SIGNS, "│"
    try:
        "".join([*SIGNS.values(), bar]).encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        signs, bar = PLAIN_SIGNS, "|"
    if not rows:
        line("no variant was verified")
        return
    width = max(len(variant.label) for variant, _ in rows)
    for index, check in enumerate(CHECKS):
        line(f"{'':{width}}  {f'{bar} ' * index}{check}")
    for variant, checked in rows:
        cells = [
            f"[{SIGN_COLOURS[checked[c].verdict]}]{signs[checked[c].verdict]}[/]"
            if c in checked
            else " "
            for c in CHECKS
        ]
        out().print(f"{escape(f'{variant.label:{width}}')}  {' '.join(cells)}".rstrip())
    line("")
    for (verdict, check, reason), labels in _alike(rows).items():
        name_all = verdict in ("failed", "lost") or len(labels) <= remarks.FEW
        told = "note" if verdict == "passed" else verdict.replace("_", " ")
        line(f"{told}: {check}: {reason}")
        for label in labels if name_all else [f"{len(labels)} variants"]:
            line(f"    {label}")
    verdicts = [{result.verdict for result in checked.values()} for _, checked in rows]
    failed = sum("failed" in found for found in verdicts)
    lost = sum("lost" in found for found in verdicts)
    line(
        f"{units.number(len(rows), 'variant')}: {failed} fail a check, {lost} could not be checked "
        "to the end."
    )


def _alike(
    rows: Sequence[tuple[Variant, Mapping[Check, Checked]]],
) -> dict[tuple[CheckVerdict, Check, str], list[str]]:
    """Every reason, the faults first, with the variants that have it."""
    found: dict[tuple[CheckVerdict, Check, str], list[str]] = defaultdict(list)
    for variant, checked in rows:
        for check, result in checked.items():
            if result.reason is not None:
                found[result.verdict, check, result.reason].append(variant.label)
    order = ("failed", "lost", "passed", "not_applicable")
    return dict(sorted(found.items(), key=lambda item: order.index(item[0][0])))


def selfcheck(found: Mapping[str, Any] | None) -> None:
    """The tool's error rates, as they stand in run.json."""
    if found is None:
        line("no trial was finished")
        return

    def rate(of: Mapping[str, Any]) -> str:
        share = f"{units.percent(of['lo'])} … {units.percent(of['hi'])}"
        return f"{of['hits']} of {of['of']}  ({share})"

    lines = [("identical variants called different", rate(found["false_alarms"]))]
    lines += [
        (f"a real {percent} % slowdown called slower", rate(power))
        for percent, power in found["power"].items()
    ]
    lines.append(("95 % intervals that hold the truth", rate(found["coverage"])))
    if (deviation := found["run_to_run_sd"]) is not None:
        lines.append(("ratios of unlike modules, from run to run", f"± {units.percent(deviation)}"))
    lines += [
        (
            f"smallest slowdown seen 9 times of 10 in {budget} s a case",
            f"{units.percent(v['value'])}  ({units.percent(v['lo'])} … {units.percent(v['hi'])})",
        )
        for budget, v in found["smallest_visible"].items()
    ]
    print_aligned(lines)
    trials, cost = found["trials"], found["seconds_a_case"]
    line(f"{trials} trials of {cost:.1f} s a case; in brackets 95 % intervals")


def warning(message: str) -> None:
    """On standard output: it belongs to the figures."""
    out().print(f"[yellow]warning:[/] {escape(message)}")
