"""`merge`: one table of what a fleet measured."""

from __future__ import annotations

import click

from attn_bench.model import units
from attn_bench.model.status import Exit
from attn_bench.view.console import plain


@click.command()
@click.argument("store")
@click.option(
    "--out",
    metavar="FILE",
    help="The table, as .parquet, .csv or .md; by default fleet.parquet in this folder.",
)
@click.option(
    "--allow-partial", is_flag=True, help="Write the table although shards or cases are missing."
)
def command(store: str, out: str | None, allow_partial: bool) -> int:
    """Write one table of all shards of a fleet.

    Each row has the device and the host that it was measured on.

    STORE is as for `work`; if it has several plans, STORE/PLAN. Shards of other code or settings
    are refused. The status is 3 if a shard or a case is missing, unless --allow-partial. It is 4 if
    times are unclear.
    """
    from attn_bench.jobs.fleet.merge import merge

    merged = merge(store, out, allow_partial=allow_partial)
    for shard in merged.unfinished:
        amount = f"{shard.done} of {shard.total} cases"
        plain.line(f"missing: shard {shard.name}, {shard.device} on {shard.host}: {amount}")
    for shard, reason in merged.damaged:
        plain.line(f"missing: shard {shard.name}, {shard.device} on {shard.host}: {reason}")
    for word in merged.missing:
        plain.line(f"missing: no device has {word!r} in its name")
    if not (merged.done or merged.unfinished or merged.missing or merged.damaged):
        plain.line("missing: no host has begun")
    for device, host, case, reason in merged.faults:
        plain.line(f"without figures: {case} on {device} ({host}): {reason}")
    for device, host, number, reason in merged.unclear:
        amount = units.number(number, "case")
        plain.line(f"without times: {amount} on {device} ({host}): {reason}")
    if merged.unclear:
        plain.line("`work --again` measures those again")
    if merged.file is None:
        hint = "; --allow-partial writes the others" if merged.done else ""
        plain.error(f"the fleet is not complete{hint}")
        return Exit.NOT_MEASURED
    done = len(merged.done) - len(merged.damaged)
    shards, rows = units.number(done, "shard"), units.number(merged.rows, "row")
    plain.line(f"written: {merged.file} ({shards}, {rows})")
    is_partial = merged.lacks_shards or merged.faults
    if not merged.measured or (is_partial and not allow_partial):
        return Exit.NOT_MEASURED
    return Exit.UNDECIDED if merged.unclear else Exit.GOOD
