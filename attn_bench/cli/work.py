"""`work`: measure this host's part of a fleet."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from attn_bench.cli.options import (
    measuring_options,
    plan_options,
    request_of,
    typed_options,
)
from attn_bench.model import units
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import Per
from attn_bench.view.console import plain

if TYPE_CHECKING:
    from attn_bench.jobs.fleet.work import Done

# A run of a fleet has its place in the store, and always waits for the host.
WITHOUT = ("out", "wait")
OF_A_STORED_PLAN = {"store", "modules_from", "again", "name"}


@click.command()
@click.argument("store")
@measuring_options("work", WITHOUT)
@plan_options
@click.option(
    "--expect",
    metavar="WORD,…",
    help="Of a new plan: words in the names of the devices that `merge` should find.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Measure a finished shard again if it lacks times, or if it is damaged.",
)
@click.option("--name", default="", hidden=True)  # `fleet` tells its works apart by it
@click.pass_context
def command(
    context: click.Context,
    /,
    store: str,
    per: Per,
    lease: float,
    expect: str | None,
    again: bool,
    name: str,
    **options: Any,
) -> int:
    """Measure this host's part of a fleet.

    STORE is a folder that the hosts share, or a URL: s3://bucket/fleet. With --suite, it gets a
    plan, unless it has the same one. Without, all plans of STORE are worked on. The command can be
    repeated and killed at any time. It ends when nothing is left for this host.
    """
    from attn_bench.jobs.fleet.plans import PlanRequest
    from attn_bench.jobs.fleet.work import WorkRequest, work
    from attn_bench.store.places import check_shared
    from attn_bench.view.console.progress import LiveProgress

    check_shared(store)
    plan = None
    if options["suite"] is not None:
        devices = tuple(filter(None, (word.strip() for word in (expect or "").split(","))))
        plan = PlanRequest(request_of(options), per, devices, lease)
    elif wrong := sorted(typed_options(context) - OF_A_STORED_PLAN):
        option = wrong[0].replace("_", "-")
        raise RequestError(f"--{option} needs --suite: a stored plan has its settings")
    asked = WorkRequest(store, plan, tuple(options["modules_from"]), again, name)
    with closing(LiveProgress()) as progress:
        return work(asked, progress, _show)


def _show(done: Done) -> None:
    """One line for a shard, and what went wrong in it."""
    ok = sum(row.status == "ok" for row in done.rows)
    state = done.state if done.is_new else "is measured already"
    amount = f"{ok} of {len(done.rows)} cases are ok"
    plain.line(f"{done.place.name}: shard {done.shard} {state}: {amount}")
    if unclear := [row for row in done.rows if row.status == "unclear"]:
        amount = units.number(len(unclear), "case")
        plain.line(f"without times: {amount}, as {unclear[0].case_id}: {unclear[0].error}")
        plain.line("`work --again` on a host with less load measures them again")
    if done.trouble:
        plain.error(done.trouble)
