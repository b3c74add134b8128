"""A Ray cluster of two pretended hosts on this machine, started and stopped by these tests."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from program import ROOT

from attn_bench.engine.progress import Unseen
from attn_bench.jobs.fleet.engines.base import Work
from attn_bench.jobs.fleet.engines.ray import LABEL, RESOURCE, RayEngine
from attn_bench.jobs.fleet.plans import PlanRequest, make_plan
from attn_bench.jobs.fleet.start import Order, Seen, run_fleet
from attn_bench.model.errors import RequestError
from attn_bench.model.fleet import Shard
from attn_bench.model.request import RunRequest
from attn_bench.model.status import Exit
from attn_bench.store.fleet import Watcher, name_plan, read_fleet
from attn_bench.store.places import open_place

ray: Any = pytest.importorskip("ray", reason="the extra `ray` is not installed")

WAIT_S = 60.0
# Each process of ours on a host writes when it began and ended, and what it inherited.
RECORD = """
import atexit, json, os, sys, time

def record(event):
    name = next(word for word in sys.orig_argv if word.startswith("attn_bench"))
    line = [os.environ["PRETENDED"], name, os.getpid(), event, time.time()]
    line += [os.environ.get("OMP_NUM_THREADS"), os.nice(0)]
    with open(os.environ["RECORDS"], "a") as file:
        file.write(json.dumps(line) + "\\n")

if "PRETENDED" in os.environ and any(word.startswith("attn_bench") for word in sys.orig_argv):
    record("began")
    atexit.register(record, "ended")
    if "list" in sys.orig_argv:
        time.sleep(2)
"""
SUITE = """
title = "Fleet"
[[grid]]
module = ["simam"]
[shapes]
batch = 1
stages = [[8, 8, 8]]
"""


@dataclass(frozen=True)
class Record:
    """A line that a process on a host wrote."""

    host: str
    module: str
    pid: int
    event: str
    at_s: float
    omp_num_threads: str | None
    nice: int


@dataclass
class Hosts:
    """The cluster of two nodes.

    folder: the tests' files. second: the host that can be lost.
    """

    cluster: Any
    folder: Path
    second: Any

    def records(self, module: str) -> list[Record]:
        """Those of the processes that run this module."""
        lines = (self.folder / "records").read_text(encoding="utf-8").splitlines()
        found = [Record(*json.loads(line)) for line in lines]
        return [record for record in found if record.module == module]

    def cut_power(self) -> None:
        """The second host is gone: nothing of it says good-bye."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        for record in [*self.records("attn_bench"), *self.records("attn_bench.worker")]:
            if record.host == "second":
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(record.pid).kill()


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Two hosts that offer themselves, each with a folder for temporary files, as real ones."""
    folder = Path(tempfile.mkdtemp(prefix="ab-", dir="/tmp"))  # the paths of sockets must be short
    (folder / "sitecustomize.py").write_text(RECORD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
        patch.setenv("RECORDS", str(folder / "records"))
        patch.delenv("OMP_NUM_THREADS", raising=False)
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        try:
            add_host(cluster, folder, "first", include_dashboard=False)
            second = add_host(cluster, folder, "second")
            patch.setenv("RAY_ADDRESS", cluster.address)
            yield Hosts(cluster, folder, second)
        finally:
            ray.shutdown()
            cluster.shutdown()
            shutil.rmtree(folder)


def add_host(cluster: Any, folder: Path, name: str, **more: Any) -> Any:
    temporary = folder / name
    temporary.mkdir()
    return cluster.add_node(
        num_cpus=0,
        resources={RESOURCE: 1},
        labels={LABEL: "twin"},
        object_store_memory=80 * 2**20,
        env_vars={"PRETENDED": name, "TMPDIR": str(temporary)},
        **more,
    )


def ended(engine: RayEngine) -> tuple[Work, ...]:
    """All works, when they are over."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        seen = engine.poll()
        if all(work.is_over for work in seen):
            return seen
    raise AssertionError(seen)


def test_no_two_works_overlap_on_a_host(hosts: Hosts) -> None:
    """Three works on two hosts take turns, and both hosts work."""
    engine = RayEngine(lease_s=20)
    try:
        for _ in range(3):
            engine.start("", ("list", "suites"))
        works = ended(engine)
    finally:
        engine.stop()
    assert [(work.state, work.status) for work in works] == [("ended", 0)] * 3
    times: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for record in hosts.records("attn_bench"):
        times[record.host].append((record.at_s, record.event))
    assert sorted(times) == ["first", "second"]
    for events in times.values():
        order = [event for _, event in sorted(events)]
        assert order == ["began", "ended"] * (len(order) // 2)


def test_a_kind_without_a_host_is_named(hosts: Hosts) -> None:
    """The message has the label that a host must have, and the nearest one."""
    engine = RayEngine(lease_s=20)
    try:
        assert engine.count_hosts("twin") == engine.count_hosts("") == 2
        with pytest.raises(RequestError, match=r"measuring_device=twins \(did you mean 'twin'"):
            engine.count_hosts("twins")
    finally:
        engine.stop()


def occupy_first(hosts: Hosts) -> Any:
    """An actor that holds the first host: the next `work` starts on the second one."""

    class Occupied:
        def is_ready(self) -> bool:
            return True

    (node,) = (n for n in ray.nodes() if n["NodeID"] == hosts.cluster.head_node.node_id)
    actor = ray.remote(Occupied).options(
        num_cpus=0, resources={RESOURCE: 1}, label_selector={"ray.io/node-id": node["NodeID"]}
    )
    occupied = actor.remote()
    assert ray.get(occupied.is_ready.remote(), timeout=WAIT_S)
    return occupied


@pytest.fixture(scope="module")
def lost(hosts: Hosts) -> list[Seen]:
    """What was seen of a fleet whose first host is cut off while it measures."""
    (hosts.folder / "tiny.toml").write_text(SUITE)
    (hosts.folder / "records").write_text("")
    suite = str(hosts.folder / "tiny.toml")
    run = RunRequest(suite, device="cpu", budget_s=3.0, precision=1e-4, sessions=1)
    store = hosts.folder / "store"
    folder, plan = make_plan(open_place(str(store)), PlanRequest(run, lease_s=3.0), Unseen())
    watcher, seen, running = Watcher(folder, plan), list[Seen](), [True]
    engine = RayEngine(plan.lease_s)
    occupied = occupy_first(hosts)

    def look() -> Sequence[Shard]:
        shards = watcher.look()
        if running[0] and any(shard.left_s is not None for shard in shards):  # it measures
            running[0] = False
            hosts.cut_power()
            ray.kill(occupied)
        return shards

    words = ("work", str(store / name_plan(plan)))
    run_fleet(engine, Order(words, ("twin",), most_hosts=1), look, seen.append)
    return seen


def test_a_lost_host_ends_as_lost_and_another_takes_over(hosts: Hosts, lost: list[Seen]) -> None:
    """It is lost when its shard is, by a lease; the other host then measures what is left."""
    assert [work.state for work in lost[-1].works] == ["lost", "ended"], lost[-1]
    assert lost[-1].works[1].status in (Exit.GOOD, Exit.UNDECIDED)  # the times of a busy machine
    assert [shard.state for shard in lost[-1].shards] == ["done"]
    is_lost = [any(work.state == "lost" for work in seen.works) for seen in lost]
    states = [seen.shards[0].state if seen.shards else "" for seen in lost]
    assert "lost" in states
    assert is_lost.index(True) <= states.index("lost") + 2  # looks
    assert states[states.index("lost") :].count("held") > 0
    fleet = read_fleet(str(hosts.folder / "store"))
    (done,) = fleet.done
    assert (fleet.unfinished, len(done.rows)) == ((), done.shard.total)


def test_threads_and_niceness_are_those_of_the_host(hosts: Hosts, lost: list[Seen]) -> None:
    """The measuring processes have neither OMP_NUM_THREADS=1 nor the niceness of Ray's workers."""
    records = hosts.records("attn_bench.worker")
    assert {record.host for record in records} == {"first", "second"}
    assert {record.omp_num_threads for record in records} == {None}
    assert {record.nice for record in records} == {os.nice(0)}


def test_nothing_is_left_running(hosts: Hosts, lost: list[Seen]) -> None:
    """Every process of ours on both hosts has ended."""
    records = [*hosts.records("attn_bench"), *hosts.records("attn_bench.worker")]
    assert not [record for record in records if psutil.pid_exists(record.pid)]
