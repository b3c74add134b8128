"""`recommend` on the console: the candidates, the recommended module, and the caveats."""

from __future__ import annotations

from rich.console import Console

from attn_bench.jobs.recommend.answer import Recommendation
from attn_bench.jobs.recommend.devices import DevicesAnswer
from attn_bench.view import remarks
from attn_bench.view.console.plain import line
from attn_bench.view.console.tables import Column, print_table
from attn_bench.view.console.terminal import open_stdout, paragraph, warn
from attn_bench.view.json_answer import say_reused
from attn_bench.view.markup import escape
from attn_bench.view.recommend import devices, table, words


def show(answer: Recommendation) -> None:
    """Show the answer in three sentences, the table of candidates, the caveats, and the sources."""
    console = open_stdout()
    console.print(f"[bold]{escape(words.make_title(answer))}[/]")
    console.print(f"{escape(remarks.name_machine(answer.info))}\n")
    for reason in words.give_reasons(answer.choice):
        paragraph(reason, style="bold")
    for sentence in words.say_how_long(answer):
        paragraph(sentence)
    line("")
    _show_table(console, table.make_table(answer.choice, answer.request.share_of_us))
    for explanation in table.make_legend(answer.choice):
        paragraph(explanation)
    line("")
    line("Caveats:")
    for caveat in words.list_caveats(answer):
        paragraph(f"- {caveat}")
    measured = answer.measured
    for warning in remarks.list_warnings(measured.info) if measured else ():
        warn(warning)
    for found in answer.reused.items():
        paragraph(say_reused(found))
    if measured:
        line(f"run folder: {measured.path}")


def _show_table(console: Console, shown: table.Shown) -> None:
    columns = [Column(h, "left" if h in shown.words else "right") for h in shown.headings]
    styles = ["bold green" if n == shown.chosen else None for n in range(len(shown.lines))]
    print_table(console, columns, shown.lines, styles=styles)


def show_devices(answer: DevicesAnswer) -> None:
    """Show an answer for several devices: its reasons, the table, the caveats."""
    console = open_stdout()
    console.print(f"[bold]{escape(devices.make_title(answer))}[/]\n")
    for reason in devices.list_reasons(answer):
        paragraph(reason, style="bold")
    line("")
    headings, lines = devices.make_table(answer)
    columns = [Column(h, "right" if h in answer.by_device else "left") for h in headings]
    print_table(console, columns, [list(map(escape, cells)) for cells in lines])
    paragraph(devices.LEGEND)
    line("")
    line("Caveats:")
    for caveat in devices.list_caveats(answer):
        paragraph(f"- {caveat}")
