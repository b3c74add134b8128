"""Starts a `work` on each host of a Ray cluster that offers the resource `measuring_host`.

An actor holds the resource, so that a host is given to one `work` at a time. It starts the `work`
as a process with the environment of the host: Ray changes that of its workers.
"""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from attn_bench.jobs.fleet.engines.base import Work, see_process
from attn_bench.jobs.fleet.engines.process import PATIENCE_S, WorkProcess
from attn_bench.model.errors import RequestError, in_one_line, nearest

RESOURCE, LABEL = "measuring_host", "measuring_device"
OFFER = f"""ray start … --resources='{{"{RESOURCE}": 1}}'"""
# Ray starts its workers at nice 15, and their children inherit that.
ENVIRONMENT = {"RAY_worker_niceness": "0"}
REACH_S = 10.0
ANSWER_S = 1.0  # for all answers together


class Host:
    """The actor: it starts a `work` on its host, and answers how it goes."""

    def __init__(self, words: Sequence[str], folder: str) -> None:
        # As this process began: Ray has set OMP_NUM_THREADS since.
        self._process = WorkProcess(words, psutil.Process().environ(), folder)

    def look(self) -> tuple[str, int | None, str]:
        """The name of the host, the exit status, and the last line."""
        return platform.node(), self._process.poll(), self._process.last_line()

    def interrupt(self) -> None:
        self._process.interrupt()

    def kill(self) -> None:
        self._process.kill()


@dataclass
class _Started:
    """An actor, the answer that it owes, and what is known of its `work`."""

    actor: Any
    answer: Any
    work: Work
    heard_s: float


def _reach(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), REACH_S).close()


class RayEngine:
    """The cluster of RAY_ADDRESS, or the one on this host.

    lease_s: a host that does not answer for this long is lost.
    """

    def __init__(self, lease_s: float) -> None:
        try:
            import ray
        except ImportError:
            raise RequestError(
                "--engine ray needs the package ray: pip install 'attn-bench[ray]'"
            ) from None
        self._ray: Any = ray
        self._lease_s = lease_s
        self._started: list[_Started] = []
        try:
            _reach(os.environ.get("RAY_ADDRESS", ""))
            self._ray.init("auto", log_to_driver=False, logging_level="error")
        except (OSError, RuntimeError, ValueError) as error:
            raise RequestError(
                f"--engine ray: no cluster answers ({in_one_line(error)}); start one with {OFFER}, "
                "or set RAY_ADDRESS"
            ) from None

    def count_hosts(self, kind: str) -> int:
        hosts = [n for n in self._ray.nodes() if n["Alive"] and n["Resources"].get(RESOURCE)]
        if not hosts:
            raise RequestError(
                f"--engine ray: no host of the cluster offers {RESOURCE}: start Ray there with "
                f"{OFFER}"
            )
        labels = [host["Labels"].get(LABEL, "") for host in hosts]
        if kind and kind not in labels:
            raise RequestError(
                f"--devices {kind}: no host of the cluster has the label "
                f"{LABEL}={kind}{nearest(kind, filter(None, labels))}"
            )
        return labels.count(kind) if kind else len(hosts)

    def start(self, kind: str, words: Sequence[str]) -> None:
        actor = self._ray.remote(Host).options(
            num_cpus=0,
            resources={RESOURCE: 1},
            label_selector={LABEL: kind} if kind else None,
            runtime_env={"env_vars": ENVIRONMENT},
            max_restarts=0,
        )
        host = actor.remote(tuple(words), str(Path.cwd()))
        work = Work(kind, "", "waiting")
        self._started.append(_Started(host, host.look.remote(), work, time.monotonic()))

    def poll(self) -> tuple[Work, ...]:
        open_ = [each for each in self._started if not each.work.is_over]
        answers = [each.answer for each in open_]
        if answers:
            answered, _ = self._ray.wait(answers, num_returns=len(answers), timeout=ANSWER_S)
            for each in open_:
                if each.answer in answered:
                    self._take(each)
                else:
                    self._judge_silence(each)
        return tuple(each.work for each in self._started)

    def _take(self, each: _Started) -> None:
        try:
            host, status, last_line = self._ray.get(each.answer, timeout=ANSWER_S)
        except self._ray.exceptions.ActorUnavailableError:
            self._judge_silence(each)
        except self._ray.exceptions.RayError as error:
            self._lose(each, in_one_line(error))
            return
        else:
            each.work = see_process(each.work.kind, host, status, last_line)
            each.heard_s = time.monotonic()
        if each.work.is_over:
            self._ray.kill(each.actor)  # it holds the host
        else:
            each.answer = each.actor.look.remote()

    def _judge_silence(self, each: _Started) -> None:
        """It is lost if it does not answer for a lease, or waits for a host that is not there."""
        silent_s = time.monotonic() - each.heard_s
        if silent_s <= self._lease_s:
            return
        if each.work.state == "running":
            self._lose(each, f"it has not answered for {silent_s:.0f} s")
            return
        try:
            self.count_hosts(each.work.kind)
        except RequestError as error:
            self._lose(each, str(error))

    def _lose(self, each: _Started, why: str) -> None:
        each.work = replace(each.work, state="lost", last_line=why)
        self._ray.kill(each.actor)

    def give_up(self, number: int, why: str) -> None:
        each = self._started[number]
        self._ray.wait([each.actor.kill.remote()], timeout=ANSWER_S)
        self._lose(each, why)

    def stop(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        for each in self._started:
            if each.work.state == "running":
                each.actor.interrupt.remote()
            elif each.work.state == "waiting":
                self._lose(each, "no host came")
        while time.monotonic() < deadline and any(not w.is_over for w in self.poll()):
            pass
        for each in self._started:
            self._ray.kill(each.actor)
        self._ray.shutdown()
