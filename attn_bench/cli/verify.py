"""`verify`: check what every attention module must do."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from attn_bench.cli.options import check_writable, run_option, write_file
from attn_bench.model.axes import HOST
from attn_bench.model.errors import RequestError
from attn_bench.model.request import TIMEOUT_S
from attn_bench.view.console import plain

USUAL_MEMORY_GIB = 4.0


@click.command()
@click.argument("glob", metavar="[GLOB]", default="*")
@click.option(
    "--as",
    "model",
    metavar="NAME",
    help="Compare the class FILE.py:CLASS with the formula of this module.",
)
@click.option(
    "--args", default="", metavar="ARGS", help="Its arguments: 'reduction=16, bias=True'."
)
@click.option(
    "--map", "pairs", default="", metavar="PAIRS", help="Its tensors: 'conv.weight=fc1.weight'."
)
@run_option("modules_from")
@run_option("device", default=HOST, help=f"The device to verify on; {HOST}.")
@click.option("--json", "json_file", metavar="FILE", help="Write the matrix as JSON.")
@run_option(
    "timeout",
    help=f"Give up a check that takes longer (compiling: five times that); {TIMEOUT_S:g}.",
)
@run_option(
    "memory",
    default=USUAL_MEMORY_GIB,
    help=f"The most memory that a worker may take; {USUAL_MEMORY_GIB:g}.",
)
def command(
    glob: str,
    model: str | None,
    args: str,
    pairs: str,
    json_file: str | None,
    timeout: float,
    memory: float,
    **options: Any,
) -> int:
    """Check what every attention module must do.

    The answer is a matrix of passed and failed checks.

    GLOB chooses modules by name ('ge_*,se'); all by default. Status 0: all pass. 1: a check
    failed. 3: none failed, but a worker died or hung during a check.

    `verify FILE.py:CLASS --as NAME` compares a class that is not registered with the formula of a
    module that is. Status 0: it agrees. 1: it differs. 3: it could not be built or mapped.
    """
    check_writable([json_file])
    options |= {"timeout_s": timeout, "memory_gib": memory}
    if model is not None:
        return _compare(json_file, word=glob, model=model, arguments=args, pairs=pairs, **options)
    if ".py:" in glob:
        raise RequestError(f"verify {glob}: a class needs --as NAME, the module to compare with")
    for option, given in (("--args", args), ("--map", pairs)):
        if given:
            raise RequestError(f"{option} needs --as NAME, the module to compare with")
    return _check(json_file, globs=glob, **options)


def _check(json_file: str | None, **options: Any) -> int:
    from attn_bench.jobs import verify as job
    from attn_bench.view.console import verify as view
    from attn_bench.view.console.progress import LiveProgress
    from attn_bench.view.verification import write_json

    with closing(LiveProgress()) as progress:
        answer = job.verify(job.VerifyRequest(**options), progress)
    view.show(answer.rows)
    if json_file is not None:
        write_file(Path(json_file), write_json(answer))
    if answer.state == "interrupted":
        plain.error("interrupted")
    return answer.exit_status


def _compare(json_file: str | None, **options: Any) -> int:
    from attn_bench.jobs import foreign as job
    from attn_bench.view.console import foreign as view
    from attn_bench.view.console.progress import LiveProgress
    from attn_bench.view.verification import write_foreign_json

    with closing(LiveProgress()) as progress:
        answer = job.compare_foreign(job.ForeignRequest(**options), progress)
    view.show(answer)
    if json_file is not None:
        write_file(Path(json_file), write_foreign_json(answer))
    return answer.exit_status
