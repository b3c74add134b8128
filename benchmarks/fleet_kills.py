"""Measures what random kills cost a fleet.

    python benchmarks/fleet_kills.py [--kills 30] [--s3] [--seed 0]

Two `work` processes share a store: a folder, or with --s3 a bucket of a moto server that the script
starts. At random moments the script kills one of them with SIGKILL, and starts another. At last it
lets them end, and compares the merged table with that of an undisturbed run. Prints the number of
kills, takeovers, moments with two owners, corrupt files, cases without figures and cells that
differ. Status 1: any of the last four is not 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import psutil

from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import METRICS, ends_of
from attn_bench.store.fleet import Watcher, open_plan, read_done, read_plan
from attn_bench.store.places import open_place

ROOT = Path(__file__).resolve().parent.parent
SUITE = """
title = "Few small cases"
budget = 3
sessions = 2
precision = 0.0001

[[grid]]
module = ["simam", "srm"]

[shapes]
batch = 1
stages = [[8, 4, 4], [16, 4, 4]]
"""
LEASE_S = 3.0
WORK = ("--suite", "suite.toml", "--device", "cpu", "--threads", "1", "--lease", f"{LEASE_S:g}")
MOST_S = 1800.0
# Cells that differ between two runs of the same code on one machine.
TIMED = {n for m in METRICS if m.kind != "exact" for n in (m.name, *ends_of(m.name))}
OF_ONE_RUN = TIMED | {"run", "start", "rounds", "sessions", "bound_us", "bound_fraction"}
OF_ONE_RUN |= {"status", "error"}  # ok or unclear
OF_ONE_RUN |= {"revision", "dirty"}  # of the checkout, in which others may work


@dataclass
class Found:
    """The losses of a fleet that was disturbed."""

    kills: int = 0
    takeovers: int = 0
    two_owners: int = 0
    corrupt: int = 0
    without_figures: int = 0
    differ: int = 0

    @property
    def is_bad(self) -> bool:
        return bool(self.two_owners or self.corrupt or self.without_figures or self.differ)


class Fleet:
    """`work` processes on one store, all of this host."""

    def __init__(self, folder: Path, store: str, environment: dict[str, str]) -> None:
        self._folder, self._store = folder, store
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self.alive: list[subprocess.Popen[bytes]] = []
        self.two_owners = 0
        self._ended = threading.Event()
        (folder / "suite.toml").write_text(SUITE)

    def program(self, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "attn_bench", *words],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        self.alive.append(self.program("work", self._store, *WORK))

    def wait_for_progress(self) -> None:
        """Wait until something new is in the store, or all is measured."""
        deadline, before = time.monotonic() + MOST_S, self._objects()
        while self._objects() == before and time.monotonic() < deadline:
            if any(one.poll() is not None for one in self.alive):
                return
            time.sleep(0.1)

    def _objects(self) -> int:
        return sum("/shards/" in key for key in open_place(self._store).find(""))

    def kill(self) -> bool:
        """Kill a random process; False if one has ended by itself, because all is measured."""
        if any(one.poll() is not None for one in self.alive):
            return False
        busy = [one for one in self.alive if self._has_workers(one)]
        victim = random.choice(busy if busy and random.random() < 0.75 else self.alive)
        victim.kill()
        victim.wait()
        self.alive.remove(victim)
        return True

    def measuring(self) -> int:
        """How many of the processes have workers at this moment."""
        return sum(map(self._has_workers, list(self.alive)))

    @staticmethod
    def _has_workers(one: subprocess.Popen[bytes]) -> bool:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(one.pid).children(recursive=True)
            return any("attn_bench.worker" in child.cmdline() for child in children)
        return False

    def watch(self) -> None:
        """Count the moments at which two processes have workers."""
        while not self._ended.wait(0.05):
            # Twice, since the list of processes is not of one moment.
            self.two_owners += self.measuring() > 1 and self.measuring() > 1

    def end(self) -> None:
        deadline = time.monotonic() + MOST_S
        for one in self.alive:
            try:
                one.wait(max(0.0, deadline - time.monotonic()))
            finally:
                if one.poll() is None:
                    one.kill()
        self._ended.set()

    def merged(self) -> pd.DataFrame:
        assert self.program("merge", self._store, "--out", "all.parquet").wait() in (0, 3, 4)
        return pd.read_parquet(self._folder / "all.parquet")


def disturbed(fleet: Fleet, kills: int) -> int:
    """Let two processes work, and kill until the number is reached or all is measured."""
    watcher = threading.Thread(target=fleet.watch)
    watcher.start()
    killed = 0
    try:
        fleet.start()
        fleet.start()
        while killed < kills:
            fleet.wait_for_progress()
            time.sleep(random.uniform(0.0, LEASE_S))
            if not fleet.kill():
                break
            killed += 1
            fleet.start()
    finally:
        fleet.end()
        watcher.join()
    return killed


def inspect(store: str, found: Found) -> None:
    """Read every file of the store."""
    place = open_plan(store)
    keys = place.find("shards")
    found.takeovers += sum("/claims/" in key for key in keys) - 1
    for key in keys:
        content = place.get(key) or b""
        if key.endswith((".json", ".jsonl", "beat")):
            try:
                for line in content.splitlines() if key.endswith(".jsonl") else [content]:
                    json.loads(line)
            except ValueError:
                found.corrupt += 1
    try:
        list(read_done(place, read_plan(place), Watcher(place, read_plan(place)).look_closely()))
    except RequestError as error:
        print(error)
        found.corrupt += 1


def compare(frame: pd.DataFrame, other: pd.DataFrame, found: Found) -> None:
    """Count the cases without figures, and the cells that should be equal and are not."""
    found.without_figures += int((~frame.status.isin(["ok", "unclear"])).sum())
    columns = [name for name in other.columns if name not in OF_ONE_RUN]
    first, second = (each[columns].astype(object).fillna("") for each in (frame, other))
    same = first.shape == second.shape and list(frame.columns) == list(other.columns)
    unequal = (first != second).sum() if same else pd.Series({"shape": first.size})
    found.differ += int(unequal.sum())
    for name in unequal[unequal > 0].index:
        print(f"differs: {name}")


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A moto server with a bucket `fleet`, and the variables that lead to it."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        os.environ.update(variables)
        boto3.client("s3").create_bucket(Bucket="fleet")
        yield variables
    finally:
        server.stop()
        for name in variables:
            os.environ.pop(name, None)


@cache
def undisturbed() -> pd.DataFrame:
    """The table of a fleet in which nothing is killed."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder), "store", {"TMPDIR": folder})
        fleet.start()
        fleet.end()
        return fleet.merged()


def measure(kills: int, *, s3: bool) -> Found:
    """Disturb fleets, one after the other, until there were enough kills."""
    found = Found()
    with contextlib.ExitStack() as stack:
        wanted = undisturbed()
        variables = stack.enter_context(s3_server()) if s3 else {}
        quiet = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        variables = {**variables, "TMPDIR": str(quiet)}
        for number in range(kills):
            if found.kills >= kills:
                break
            folder = quiet / f"fleet-{number}"
            folder.mkdir()
            store = f"s3://fleet/{number}" if s3 else str(folder / "store")
            fleet = Fleet(folder, store, variables)
            found.kills += disturbed(fleet, kills - found.kills)
            found.two_owners += fleet.two_owners
            inspect(store, found)
            compare(fleet.merged(), wanted, found)
            print(f"{found}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    random.seed(wanted.seed)
    return int(measure(wanted.kills, s3=wanted.s3).is_bad)


if __name__ == "__main__":
    raise SystemExit(main())
