"""Measures commits that have no run, each beside its neighbour in the same processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attn_bench.engine.progress import Progress
from attn_bench.jobs.history.pairs import Limits, Pair, list_span, measure_pair
from attn_bench.model.errors import AttnBenchError, RequestError
from attn_bench.model.request import RunRequest
from attn_bench.model.status import Exit
from attn_bench.plan import suite_file
from attn_bench.store.runs import RESULTS

TOLERANCE = 0.01  # a pair is measured until it is known to this


class NothingFilled(AttnBenchError):
    """All pairs failed."""

    exit_status = Exit.NOT_MEASURED


@dataclass(frozen=True)
class Filled:
    """pairs: each commit with the one before it. skipped: a commit, and why it has no pair."""

    pairs: tuple[Pair, ...]
    skipped: tuple[tuple[str, str], ...]


def fill(
    request: RunRequest, span: str, every: int, progress: Progress, store: Path | None = None
) -> Filled:
    """Compare each commit of a span with the one before it; `every` takes one commit in so many.

    span: OLD..NEW. Raises RequestError for a wrong one, NothingFilled if no pair can be measured.
    store: a folder of runs that are kept; what was compared there is not measured again.
    """
    old, dots, new = span.partition("..")
    if not (old and dots and new):
        raise RequestError(f"--fill {span}: must be OLD..NEW")
    if not request.modules_from:
        raise RequestError("--fill measures the files of --modules-from: name them")
    suite_file.load(request.suite, None)  # what is wrong now is wrong for every commit
    for name in request.modules_from:
        if name.endswith(".py") and not Path(name).is_file():
            raise RequestError(f"--modules-from {name}: no such file")
    stored = (Path(RESULTS), *([store] if store else []))
    limits = Limits(TOLERANCE, stored=stored)
    pairs: list[Pair] = []
    skipped: list[tuple[str, str]] = []
    before, *others = _thin(list_span(old, new, "--fill"), every)
    for number, commit in enumerate(others, start=1):
        progress.stage(f"pair {number} of {len(others)}: {commit[:10]} and {before[:10]}", 1, "")
        try:
            pair = measure_pair(request, (before, commit), limits, progress)
        except AttnBenchError as problem:
            skipped.append((commit, str(problem)))
            continue
        if broken := [f.reason for f in pair.findings if f.verdict in ("failed", "missing")]:
            skipped.append((commit, broken[0] or "it failed"))
        else:
            pairs.append(pair)
            before = commit
    if skipped and not pairs:
        raise NothingFilled(f"--fill: no pair could be measured: {skipped[0][1]}")
    return Filled(tuple(pairs), tuple(skipped))


def _thin(commits: Sequence[str], every: int) -> list[str]:
    """One commit in `every`, with the first and the last.

    >>> _thin(["a", "b", "c", "d"], 2)
    ['a', 'c', 'd']
    """
    chosen = list(commits[::every])
    return chosen if chosen[-1] == commits[-1] else [*chosen, commits[-1]]
