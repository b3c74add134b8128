"""`compare`: compare two stored runs."""

from __future__ import annotations

from typing import Any

import click

from attn_bench.cli.answers import show_answer, strictness, strictness_of


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@strictness
def command(old: str, new: str, **options: Any) -> int:
    """Compare two stored runs: the changes from OLD to NEW.

    Time gets a verdict only where both runs ran under the same conditions.
    """
    from attn_bench.jobs.check import check as job

    rules = strictness_of(options)
    answer = job.compare(
        old,
        new,
        rules.tolerances,
        allow_undecided=rules.allow_undecided,
        must_see=rules.must_see,
    )
    return show_answer(answer, rules)
