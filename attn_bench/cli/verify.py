"""`verify`: check what every attention module must do."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from attn_bench.cli.options import check_writable, run_option, write_file
from attn_bench.model.axes import HOST
from attn_bench.model.request import TIMEOUT_S
from attn_bench.view.console import plain

USUAL_MEMORY_GIB = 4.0


@click.command()
@click.argument("glob", metavar="[GLOB]", default="*")
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
    modules_from: tuple[str, ...],
    device: str,
    json_file: str | None,
    timeout: float,
    memory: float,
) -> int:
    """Check what every attention module must do.

    The answer is a matrix of passed and failed checks.

    GLOB chooses modules by name ('ge_*,se'); all by default. Status 0: all pass. 1: a check
    failed. 3: none failed, but a worker died or hung during a check.
    """
    from attn_bench.jobs import verify as job
    from attn_bench.view.console import verify as view
    from attn_bench.view.console.progress import LiveProgress
    from attn_bench.view.verification import write_json

    check_writable([json_file])
    request = job.VerifyRequest(glob, device, modules_from, timeout, memory)
    with closing(LiveProgress()) as progress:
        answer = job.verify(request, progress)
    view.show(answer.rows)
    if json_file is not None:
        write_file(Path(json_file), write_json(answer))
    if answer.state == "interrupted":
        plain.error("interrupted")
    return answer.exit_status
