"""The Python API: `attn_bench.run` measures a suite, `attn_bench.load` reads an earlier run."""

from __future__ import annotations

import inspect
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from attn_bench.engine.progress import Unseen
from attn_bench.engine.run import exit_status
from attn_bench.jobs.run import run as measure
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.request import RUN_OPTIONS, RunKeywords, RunRequest, make_request
from attn_bench.model.status import Exit
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
    def exit_status(self) -> Exit:
        """What `attn-bench run` ends with, of `attn_bench.model.status.Exit`."""
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


# The keywords are the options of `attn-bench run`. They are listed in model/request.py alone:
# `RunKeywords` tells editors and type checkers, `_list_keywords` tells notebooks and `help`.
def run(
    suite: str | PathLike[str], *, progress: bool = False, **options: Unpack[RunKeywords]
) -> Run:
    """Measure `suite`, a name or a TOML file, and write its run folder: `attn-bench run` in Python.

    The keywords are the command's options: `budget` in seconds, `precision` in percent, `modules`
    globs with commas, `where` a condition on columns. Nothing is shown unless `progress` is true.

    A case that could not be measured is a row of the table, with its status, and sets
    `Run.exit_status`. Raises AttnBenchError where the command refuses, or where the disk is full.
    """
    for name in options.keys() - RUN_OPTIONS.keys():
        raise TypeError(f"run() has no keyword {name!r}{nearest(name, RUN_OPTIONS)}")
    command = ("run", "--suite", fspath(suite))
    try:
        request = make_request({"suite": suite, **options}, command)
    except RequestError as error:
        raise RequestError(f"run: {error}") from None
    return load(_measure(request, progress))


def _list_keywords() -> None:
    """Give `run` a signature that lists every keyword with its default."""
    shown = inspect.signature(run)
    fixed = [each for each in shown.parameters.values() if each.kind is not each.VAR_KEYWORD]
    keywords = [
        Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.default)
        for option in RUN_OPTIONS.values()
        if option.name not in shown.parameters
    ]
    run.__signature__ = shown.replace(  # type: ignore[attr-defined]
        parameters=[*fixed, *keywords]
    )


_list_keywords()


def load(name: str | PathLike[str]) -> Run:
    """An earlier run: a folder, its name under ./results/, the beginning of its name, or "latest".

    Raises RequestError where there is none, or it was not finished.
    """
    return Run(runs.load(runs.find(fspath(name))))


def _measure(request: RunRequest, progress: bool) -> Path:
    if not progress:
        return measure(request, Unseen()).path
    from attn_bench.view.console.progress import LiveProgress

    with closing(LiveProgress()) as shown:
        return measure(request, shown).path
