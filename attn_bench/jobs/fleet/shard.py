"""Measures a shard that is claimed, from its beginning or from what an earlier owner left."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from attn_bench.engine.coordinator import Progressed
from attn_bench.engine.progress import Progress
from attn_bench.engine.run import Begun, Finished, Prepared, begin, measure, prepare, save
from attn_bench.engine.session import OpenSession, own_folder
from attn_bench.jobs.fleet.keeper import Keeper
from attn_bench.jobs.run import judge_published, prepare_again
from attn_bench.model.errors import KEPT, AttnBenchError, CannotWrite, RequestError
from attn_bench.model.fleet import FleetPlan
from attn_bench.model.row import Row
from attn_bench.model.status import Exit
from attn_bench.store import info as run_json
from attn_bench.store.claims import Claim, LostClaim
from attn_bench.store.places import Place, Unreachable
from attn_bench.store.runs import RunFolder
from attn_bench.store.shards import (
    BEGUN,
    FINISHED,
    find_finished,
    name_run,
    read_done_run,
    take_over,
)

RESUMES = "`work` resumes from the last upload"


class NotUploaded(AttnBenchError):
    """The store did not take what was measured."""

    exit_status = Exit.NOT_MEASURED


def measure_shard(
    session: OpenSession,
    place: Place,
    plan: FleetPlan,
    claim: Claim,
    progress: Progress,
    *,
    again: bool = False,
) -> Finished | None:
    """Measure the shard of a claim, and upload it; None if it was measured already.

    again: measure it although it was; the earlier run stays if more of its cases are ok.
    However this ends, the shard is done, or its claim is released or lost. Raises LostClaim, or
    NotUploaded.
    """
    try:
        earlier = find_finished(place, claim)
        if earlier and not again:
            claim.release()
            return None
        least = _count_figures(place, plan, claim.shard, earlier) if earlier else 0
        with own_folder() as folder, Keeper(claim, progress, plan.lease_s) as keeper:
            finished = _measure(session, place, plan, claim, keeper, Path(folder), least)
    except BaseException as error:
        with suppress(AttnBenchError):
            claim.release()
        if isinstance(error, Unreachable | CannotWrite):
            raise NotUploaded(f"{str(error).removesuffix(KEPT)}; {RESUMES}") from None
        raise
    if finished.trouble or finished.info.state != "finished":
        with suppress(AttnBenchError):
            claim.release()
        if finished.trouble and finished.trouble.endswith(KEPT):
            return replace(finished, trouble=f"{finished.trouble.removesuffix(KEPT)}; {RESUMES}")
    return finished


def _count_figures(place: Place, plan: FleetPlan, shard: str, epoch: int) -> int:
    """The cases of a finished run that are ok; 0 if it is damaged. Raises Unreachable."""
    try:
        return _count_ok(read_done_run(place, plan, shard, epoch).rows)
    except Unreachable:
        raise
    except RequestError:
        return 0


def _count_ok(rows: Sequence[Row]) -> int:
    return sum(row.status == "ok" for row in rows)


def _measure(
    session: OpenSession,
    place: Place,
    plan: FleetPlan,
    claim: Claim,
    keeper: Keeper,
    folder: Path,
    least: int,
) -> Finished:
    """least: with fewer cases that are ok, the run is not kept."""
    fresh = prepare(session, plan.request, suite=plan.suite)
    prepared, before, begun = _take_up(fresh, place, plan, claim, folder) or _start(
        fresh, plan, claim, keeper, folder
    )
    path = begun.folder.path
    keeper.cases = len(prepared.plan.cases)
    keeper.follow(path)
    content = (path / run_json.FILE).read_bytes()
    keeper.persist(lambda: claim.put(BEGUN, content))
    finished = judge_published(save(measure(prepared, begun.folder, keeper, before), begun))
    if keeper.is_lost:
        raise LostClaim(finished.trouble or "")
    if finished.info.state != "finished":
        with suppress(Unreachable):
            keeper.upload()
        return finished
    if _count_ok(finished.rows) < least:
        kept = f"the earlier run has {least} cases that are ok, and is kept"
        return replace(finished, trouble=kept)
    keeper.persist(keeper.upload)
    keeper.persist(keeper.beat_done)
    for name in FINISHED:
        content = (path / name).read_bytes()
        keeper.persist(lambda name=name, content=content: claim.put(name, content))  # type: ignore[misc]
    return finished


def _take_up(
    fresh: Prepared, place: Place, plan: FleetPlan, claim: Claim, folder: Path
) -> tuple[Prepared, Progressed, Begun] | None:
    """The run of an earlier owner; None if there is none that this host can resume."""
    left = take_over(place, plan, fresh.settings, claim, folder)
    if left is None:
        return None
    path, info = left
    try:
        prepared, before = prepare_again(fresh.session, path, info)
    except RequestError:  # another version of the software: begin anew
        return None
    return prepared, before, Begun(RunFolder(path), info)


def _start(
    prepared: Prepared, plan: FleetPlan, claim: Claim, keeper: Keeper, folder: Path
) -> tuple[Prepared, None, Begun]:
    """A new run."""
    started = datetime.now(UTC)
    path = folder / "new" / name_run(plan, claim.shard, started.isoformat())
    request = replace(plan.request, out=str(path))
    begun = begin(prepared, request, started, keeper)
    info = replace(begun.info, request=plan.request)
    begun.folder.write_info(info)
    return prepared, None, replace(begun, info=info)
