"""`fleet`: measure a suite on many hosts, and merge what they measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click

from attn_bench.cli import merge
from attn_bench.cli.options import (
    Offer,
    WholeRange,
    check_writable,
    measuring_options,
    plan_options,
    request_of,
)
from attn_bench.jobs.fleet.start import ENGINES
from attn_bench.model.errors import RequestError

WITHOUT = ("out", "wait")
FILES = "--modules-from"


@click.command()
@click.option(
    "--store",
    metavar="STORE",
    required=True,
    help="A folder that all hosts share, or a URL: s3://bucket/fleet.",
)
@click.option(
    "--engine",
    type=Offer(ENGINES),
    required=True,
    help="What starts `work` on the hosts; local starts one here.",
)
@click.option(
    "--devices",
    metavar="WORD,…",
    default="",
    help="The kinds of device, as words in their names; the engine finds hosts by them.",
)
@click.option("--hosts", metavar="N", type=WholeRange(1), help="At most N hosts of each kind.")
@click.option(
    "--slurm",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of sbatch, as partition=gpu or gres=gpu:1; may be repeated.",
)
@measuring_options("fleet", WITHOUT)
@plan_options
@click.option("--out", metavar="FILE", help="The merged table, as for `merge`.")
def command(
    store: str, engine: str, devices: str, hosts: int | None, out: str | None, **options: Any
) -> int:
    """Measure a suite on many hosts, and merge what they measured.

    Each host runs `work`. A host that is lost is replaced by another one of its kind. Ctrl-C ends
    all of them; the same command resumes.
    """
    from attn_bench.jobs.fleet.merge import check_name
    from attn_bench.jobs.fleet.plans import PlanRequest, make_plan
    from attn_bench.jobs.fleet.start import Order, make_engine, run_fleet
    from attn_bench.jobs.run import files_of
    from attn_bench.store.fleet import Watcher, name_plan
    from attn_bench.store.places import check_shared, open_place
    from attn_bench.view.console.fleet import FleetTable
    from attn_bench.view.console.progress import LiveProgress

    if options["suite"] is None:
        raise RequestError("fleet needs --suite NAME")
    check_shared(store)
    check_writable([str(check_name(out))])
    kinds = tuple(filter(None, (word.strip() for word in devices.split(","))))
    asked = PlanRequest(request_of(options), options["per"], kinds, options["lease"])
    slurm = _slurm(options["slurm"])
    hosts_of = make_engine(engine, options["lease"], slurm)
    for kind in kinds or ("",):
        hosts_of.count_hosts(kind)  # before a plan is written that has no host
    place = open_place(store)
    url = store if "://" in store else os.path.abspath(store)  # noqa: PTH100 - keeps links
    with closing(LiveProgress()) as progress:
        folder, plan = make_plan(place, asked, progress)
    url = f"{url.rstrip('/')}/{name_plan(plan)}"
    files = [word for file in files_of(plan.request, plan.suite) for word in (FILES, file)]
    with closing(FleetTable()) as table:
        run_fleet(
            hosts_of,
            Order(("work", url, *files), kinds, hosts, plan.per),
            Watcher(folder, plan).look,
            table.show,
        )
    context = click.get_current_context()
    return int(context.invoke(merge.command, store=url, out=out, allow_partial=False))


def _slurm(words: Sequence[str]) -> Mapping[str, str]:
    pairs = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not (name and mark):
            raise RequestError(f"--slurm {word!r}: must be NAME=VALUE, as partition=gpu")
        pairs[name.removeprefix("--")] = value
    return pairs
