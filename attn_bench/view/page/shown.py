"""The runs of a page: their names, their baselines, and the rows that stand out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from attn_bench.catalog.registry import builtin
from attn_bench.model.case import BASELINE, PLAIN
from attn_bench.model.row import Row
from attn_bench.store.runs import StoredRun
from attn_bench.view.json_answer import Kept, read_kept
from attn_bench.view.remarks import name_baseline
from attn_bench.view.summary import group_title

# What a row is for the reader, who finds her own modules and the recommended one at once.
Role = Literal["usual", "own", "chosen", "baseline"]


@dataclass(frozen=True)
class Shown:
    """A run on a page.

    label: its name beside other runs; empty if the page has one run.
    """

    run: StoredRun
    label: str = ""

    @cached_property
    def baseline(self) -> str:
        """What its ratios are to."""
        return name_baseline(self.run.rows, self.run.info)

    @cached_property
    def kept(self) -> Kept | None:
        """Its recommendation, if it is a run of `recommend`."""
        return read_kept(self.run.path)

    @cached_property
    def _builtin(self) -> frozenset[str]:
        return frozenset(entry.name for entry in builtin())

    def role(self, row: Row) -> Role:
        if self.kept is not None and row.case_id == self.kept.chosen:
            return "chosen"
        if row.variant in (self.baseline, PLAIN) or row.module.endswith(BASELINE):
            return "baseline"
        return "usual" if row.module in self._builtin else "own"

    def fits(self, row: Row) -> str:
        """Whether the row keeps the limits of the recommendation, in a word."""
        return self.kept.fits.get(row.case_id, "") if self.kept else ""

    def name(self, row: Row) -> str:
        """The name of a row, with its run if there are several."""
        return f"{row.name} · {self.label}" if self.label else row.name


def name_runs(runs: Sequence[StoredRun]) -> list[Shown]:
    """The runs of a page; several have short names, which differ."""
    if len(runs) == 1:
        return [Shown(runs[0])]
    names = [run.path.resolve().name for run in runs]
    shorter = [re.sub(r"^(\d{8}T\d{4})\d\dZ-.*$", r"\1", name) for name in names]
    labels = shorter if len(set(shorter)) == len(names) else names
    if len(set(labels)) < len(labels):
        labels = [f"{name} ({number})" for number, name in enumerate(names, start=1)]
    return [Shown(run, label) for run, label in zip(runs, labels, strict=True)]


def group_rows(shown: Sequence[Shown]) -> Mapping[str, list[tuple[Shown, Row]]]:
    """The rows of all runs by the title of their table."""
    found: dict[str, list[tuple[Shown, Row]]] = defaultdict(list)
    for each, row in all_rows(shown):
        found[group_title(row)].append((each, row))
    return found


def all_rows(shown: Sequence[Shown]) -> Iterator[tuple[Shown, Row]]:
    for each in shown:
        for row in each.run.rows:
            yield each, row
