"""Starts one `work` on this host, for a first try of a fleet."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from attn_bench.jobs.fleet.engines.base import Work, see_process
from attn_bench.jobs.fleet.engines.process import PATIENCE_S, WorkProcess
from attn_bench.model.errors import RequestError


class LocalEngine:
    """This host."""

    def __init__(self) -> None:
        self._processes: list[WorkProcess] = []
        self._given_up: dict[int, str] = {}

    def count_hosts(self, kind: str) -> int:
        if kind:
            raise RequestError("--engine local measures on this host alone: drop --devices")
        return 1

    def start(self, kind: str, words: Sequence[str]) -> None:
        self._processes.append(WorkProcess(words))

    def poll(self) -> tuple[Work, ...]:
        return tuple(map(self._see, range(len(self._processes))))

    def _see(self, number: int) -> Work:
        process, host = self._processes[number], platform.node()
        if number in self._given_up:
            return Work("", host, "lost", None, self._given_up[number])
        return see_process("", host, process.poll(), process.last_line())

    def give_up(self, number: int, why: str) -> None:
        self._given_up[number] = why
        self._processes[number].kill()

    def stop(self) -> None:
        for process in self._processes:
            process.interrupt()
        for process in self._processes:
            if not process.wait(PATIENCE_S):
                process.kill()
                process.wait(PATIENCE_S)
