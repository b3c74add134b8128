"""The Python API: `attn_bench.run` measures a suite, `attn_bench.load` reads an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from attn_bench.engine.progress import Unseen
from attn_bench.engine.run import exit_status
from attn_bench.jobs.run import run as measure
from attn_bench.model.axes import AUTO, DEVICE_CHOICES
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest
from attn_bench.store import frames, runs
from attn_bench.store.info import RunInfo
from attn_bench.store.runs import StoredRun

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A run that was measured. In a notebook it shows the console's tables."""

    stored: StoredRun

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.stored.path

    @property
    def info(self) -> RunInfo:
        """run.json: the suite as run, settings, machine and software, warnings."""
        return self.stored.info

    @property
    def exit_status(self) -> int:
        """What `attn-bench run` ends with: 0, 3 where a case was not measured, 130 interrupted."""
        return exit_status(self.stored.rows, self.info.state)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a case, by its case_id: the columns of results/README.md; unknown is NA."""
        frame: pd.DataFrame = frames.table_frame(self.stored.rows).set_index("case_id")
        return frame

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Every block: case_id, session, round, position, calls, seconds of all calls together, …

        Raises RequestError where samples.parquet cannot be read.
        """
        frame: pd.DataFrame = frames.samples_frame(runs.load_blocks(self.path))
        return frame

    def __repr__(self) -> str:
        measured = sum(row.status == "ok" for row in self.stored.rows)
        of = len(self.stored.rows)
        return f"<attn_bench.Run {self.path.name}: {measured} of {of} cases measured>"

    def _repr_html_(self) -> str:
        from attn_bench.view.page import page

        return page.fragment(self.stored)


def run(
    suite: str | PathLike[str],
    *,
    device: str = AUTO,
    modules: str | None = None,
    where: str | None = None,
    budget: float | None = None,
    precision: float | None = None,
    sessions: int | None = None,
    quick: bool = False,
    modules_from: Sequence[str | PathLike[str]] = (),
    out: str | PathLike[str] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = False,
) -> Run:
    """Measure `suite`, a name or a TOML file, and write its run folder: `attn-bench run` in Python.

    The arguments are the command's options: `budget` in seconds, `precision` in percent, `modules`
    globs with commas, `where` a condition on columns. Quiet, unless `progress` is asked for.

    A case that could not be measured is a row of the table, with its status; `Run.exit_status`
    tells of them. Raises AttnBenchError for what the command refuses, or where the disk is full.
    """
    _check("device", device, device in DEVICE_CHOICES, f"one of {', '.join(DEVICE_CHOICES)}")
    _check("budget", budget, budget is None or 0 < budget < inf, "seconds, more than 0")
    _check("precision", precision, precision is None or 0 < precision <= 100, "percent, up to 100")
    _check("sessions", sessions, sessions is None or sessions >= 1, "1 or more")
    _check("threads", threads, threads is None or threads >= 1, "1 or more")
    request = RunRequest(
        suite=fspath(suite),
        device=device,
        modules=modules,
        where=where,
        budget_s=budget,
        precision=None if precision is None else precision / 100,
        sessions=sessions,
        quick=quick,
        out=None if out is None else fspath(out),
        seed=seed,
        threads=threads,
        modules_from=tuple(fspath(file) for file in modules_from),
        command=("run", "--suite", fspath(suite)),
    )
    return load(_measured(request, progress))


def load(name: str | PathLike[str]) -> Run:
    """An earlier run: a folder, its name under ./results/, the beginning of its name, or "latest".

    Raises RequestError where there is none, or it was not finished.
    """
    return Run(runs.load(runs.find(fspath(name))))


def _check(name: str, value: object, good: bool, wanted: str) -> None:
    if not good:
        raise RequestError(f"run: {name}={value!r}: {wanted} is wanted")


def _measured(request: RunRequest, progress: bool) -> Path:
    if not progress:
        return measure(request, Unseen()).path
    from attn_bench.view.console.console import LiveProgress

    shown = LiveProgress()
    try:
        return measure(request, shown).path
    finally:
        shown.close()
