"""`check`: the gate for continuous integration."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from attn_bench.cli.answers import show_answer, strictness, strictness_of
from attn_bench.cli.options import measuring_options, request_of
from attn_bench.model.errors import RequestError


@click.command()
@measuring_options("check")
@click.option("--against", metavar="REV", help="Compare with the modules of this git revision.")
@click.option("--against-modules", metavar="FILE.py", help="Compare with the modules of this file.")
@click.option(
    "--against-python",
    metavar="PATH",
    help="Compare with the same modules under another interpreter.",
)
@click.option("--baseline", metavar="RUN", help="Compare with a stored run.")
@click.option(
    "--fail-fast",
    is_flag=True,
    help="Do not time a case whose exact metrics have grown too much already.",
)
@strictness
def command(
    against: str | None,
    against_modules: str | None,
    against_python: str | None,
    baseline: str | None,
    fail_fast: bool,
    **options: Any,
) -> int:
    """Check for CI: is a module slower, heavier, broken or missing?

    Status 0: no. 1: slower, heavier or missing. 3: some cases could not be measured. 4: undecided,
    or nothing to compare.
    """
    from attn_bench.jobs.check import check as job
    from attn_bench.jobs.check.answer import CheckRequest
    from attn_bench.view.console.progress import LiveProgress

    others = {
        "--against": against,
        "--against-modules": against_modules,
        "--against-python": against_python,
        "--baseline": baseline,
    }
    if options["suite"] is None:
        raise RequestError("check needs --suite NAME")
    rules = strictness_of(options)
    if sum(value is not None for value in others.values()) != 1:
        raise RequestError(f"check needs exactly one of {', '.join(others)}")
    question = CheckRequest(
        request_of(options),
        against=against,
        against_modules=against_modules,
        against_python=against_python,
        baseline=baseline,
        tolerances=rules.tolerances,
        allow_undecided=rules.allow_undecided,
        must_see=rules.must_see,
        fail_fast=fail_fast,
    )
    with closing(LiveProgress()) as progress:
        answer = job.check(question, progress)
    return show_answer(answer, rules)
