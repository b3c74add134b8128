"""`recommend` on the console: the candidates, the recommended module, and the caveats."""

from __future__ import annotations

from attn_bench.jobs.recommend.answer import Recommendation
from attn_bench.model import units
from attn_bench.view import remarks
from attn_bench.view.console.plain import line
from attn_bench.view.console.terminal import open_stdout, warn
from attn_bench.view.markup import escape
from attn_bench.view.recommend import table, words


def show(answer: Recommendation) -> None:
    """Show the table of candidates, three sentences, the caveats, and the sources."""
    console = open_stdout()
    console.print(f"[bold]{escape(words.make_title(answer))}[/]")
    console.print(f"{escape(remarks.name_machine(answer.info))}\n")
    console.print(table.make_table(answer.choice, console.width, answer.request.share_of_us))
    for explanation in table.make_legend(answer.choice, console.width):
        line(explanation)
    line("")
    for reason in words.give_reasons(answer.choice):
        console.print(f"[bold]{escape(reason)}[/]", soft_wrap=True)
    for sentence in words.say_how_long(answer):
        line(sentence)
    line("")
    line("Caveats:")
    for caveat in words.list_caveats(answer):
        line(f"- {caveat}")
    measured = answer.measured
    for warning in remarks.list_warnings(measured.info) if measured else ():
        warn(warning)
    for name, number in answer.reused.items():
        line(f"{units.number(number, 'figure')} of the stored run {name} (--fresh measures anew)")
    if measured:
        line(f"run folder: {measured.path}")
