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
    """A finished run. A notebook shows it as the tables of the console."""

    stored: StoredRun

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.stored.path

    @property
    def info(self) -> RunInfo:
        """The content of run.json: suite, settings, machine, software and warnings."""
        return self.stored.info

    @property
    def exit_status(self) -> Exit:
        """The exit status that `attn-bench run` would return for this run."""
        return exit_status(self.stored.rows, self.info.state)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each case, with case_id as index; results/README.md lists the columns.

        An unknown value is NA.
        """
        frame: pd.DataFrame = frames.table_frame(self.stored.rows).set_index("case_id")
        return frame

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row for each block: case_id, session, round, position, calls, seconds, …

        `seconds` is the time of all calls of the block. Raises RequestError if samples.parquet
        cannot be read.
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


# The keywords are the options of `attn-bench run`; only model/request.py lists them. `RunKeywords`
# shows them to editors and type checkers, `_list_keywords` to notebooks and `help`.
def run(
    suite: str | PathLike[str], *, progress: bool = False, **options: Unpack[RunKeywords]
) -> Run:
    """Measure `suite` and write its run folder: `attn-bench run` in Python.

    suite: a suite's name or a TOML file.
    progress: show a progress line on standard error.
    options: the options of the command: `budget` in seconds, `precision` in percent, `modules`
        as globs with commas, `where` as a condition on columns.

    A case that could not be measured is a row of the table with its status, and sets
    `Run.exit_status`. Raises AttnBenchError for a wrong request or a full disk.
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
    """Read an earlier run.

    name: a folder, its name under ./results/, the beginning of its name, or "latest".
    Raises RequestError if the run does not exist or is not finished.
    """
    return Run(runs.load(runs.find(fspath(name))))


def _measure(request: RunRequest, progress: bool) -> Path:
    if not progress:
        return measure(request, Unseen()).path
    from attn_bench.view.console.progress import LiveProgress

    with closing(LiveProgress()) as shown:
        return measure(request, shown).path
