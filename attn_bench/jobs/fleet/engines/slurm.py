"""Submits a `work` for each device to SLURM, through submitit, on nodes that it has alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_bench.jobs.fleet.engines.base import Work, WorkState, see_process
from attn_bench.jobs.fleet.engines.process import PATIENCE_S, POLL_S, work_here
from attn_bench.model.errors import RequestError, in_one_line

FOLDER = "attn-bench-slurm"  # of submitit's files and logs; all nodes must see it
# submitit's own default is 5 minutes.
USUAL = {
    "job_name": "attn-bench",
    "time": "1-00:00:00",
    "exclusive": True,
    "mem": "0",  # all of the node's
    # Two minutes before the end of its time a `work` releases its claim.
    "signal": "TERM@120",
}
ALL_CORES = ("--cpu-bind=none",)
STATES: Mapping[str, WorkState] = {"RUNNING": "running", "COMPLETING": "running"}


@dataclass
class _Submitted:
    job: Any
    kind: str
    given_up: str = ""


class SlurmEngine:
    """A SLURM cluster.

    options: more options of sbatch, by their long names.
    cluster: submitit's name of it; `local` starts the jobs on this host, for tests.
    """

    def __init__(self, options: Mapping[str, str], cluster: str = "slurm") -> None:
        try:
            import submitit
        except ImportError:
            raise RequestError(
                "--engine slurm needs the package submitit: pip install 'attn-bench[slurm]'"
            ) from None
        self._options = {**USUAL, **{name.replace("-", "_"): options[name] for name in options}}
        self._submitted: list[_Submitted] = []
        try:
            self._executor = submitit.AutoExecutor(Path(FOLDER).absolute(), cluster)
        except RuntimeError:
            raise RequestError(
                "--engine slurm: no srun on this host: start it where you submit jobs"
            ) from None

    def count_hosts(self, kind: str) -> None:
        """The queue knows. One node measures a kind of device; --hosts asks for more."""

    def start(self, kind: str, words: Sequence[str]) -> None:
        more = {"constraint": kind} if kind else {}
        self._executor.update_parameters(
            nodes=1,
            tasks_per_node=1,
            slurm_additional_parameters={**self._options, **more},
            slurm_srun_args=ALL_CORES,
            local_timeout_min=24 * 60,
        )
        try:
            job = self._executor.submit(work_here, tuple(words))
        except Exception as error:  # of sbatch, which refuses an option
            raise RequestError(f"--engine slurm: {in_one_line(error)}") from None
        self._submitted.append(_Submitted(job, kind))

    def poll(self) -> tuple[Work, ...]:
        return tuple(map(self._see, self._submitted))

    def _see(self, each: _Submitted) -> Work:
        job, kind = each.job, each.kind
        host = job.get_info(mode="standard").get("NodeList", "")
        if each.given_up:
            return Work(kind, host, "lost", None, each.given_up)
        if not job.done():
            return Work(kind, host, STATES.get(job.state, "waiting"))
        try:
            host, status, last_line = job.result()
        except Exception as error:  # submitit raises that of the job
            return Work(kind, host, "lost", None, f"{job.state}: {in_one_line(error)}")
        return see_process(kind, host, status, last_line)

    def give_up(self, number: int, why: str) -> None:
        self._submitted[number].given_up = why
        self._submitted[number].job.cancel(check=False)

    def stop(self) -> None:
        open_ = [each.job for each in self._submitted if not self._see(each).is_over]
        for job in open_:
            job.cancel(check=False)  # SIGTERM to all its processes
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not all(job.done() for job in open_):
            time.sleep(POLL_S)
