"""Reads the series of a figure from stored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from attn_bench.analysis.series import Point, Series, chain, follow, in_order
from attn_bench.model import units
from attn_bench.model.environment import Difference, find_difference
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.git import find_commit, find_root, list_commits
from attn_bench.model.metrics import EXACT, METRIC, Metric
from attn_bench.model.row import Keys
from attn_bench.model.status import Exit
from attn_bench.store import info as run_json
from attn_bench.store.dataset import TABLE, Figure, read_figures
from attn_bench.store.runs import RESULTS

USUAL_METRIC = "ratio"
Key = tuple[str, str, str, bool]  # suite, case, machine, and whether commits were compared in pairs


class NothingKnown(RequestError):
    """There are runs, and none knows the figure: the machine was too busy, for example."""

    exit_status = Exit.UNDECIDED


@dataclass(frozen=True)
class HistoryRequest:
    """Which series: patterns of suites and modules, a metric, and the oldest commit."""

    suite: str | None = None
    modules: str | None = None
    metric: str = USUAL_METRIC
    since: str | None = None
    results: Path = Path(RESULTS)


@dataclass(frozen=True)
class NewSoftware:
    """Other software, or another baseline, from one run to the next on a machine.

    run: the first run under it.
    difference: the first difference; None if a run.json cannot be read.
    """

    machine: str
    before: str
    run: str
    difference: Difference | None


@dataclass(frozen=True)
class History:
    """The series of a metric.

    runs: how many runs they come from.
    skipped: sentences on runs that could not be read.
    """

    metric: Metric
    all_series: tuple[Series, ...]
    runs: int
    software: tuple[NewSoftware, ...] = ()
    skipped: tuple[str, ...] = ()


def make_history(request: HistoryRequest) -> History:
    """The series of the request. Raises RequestError if there is none."""
    metric = METRIC.get(request.metric)
    if metric is None:
        raise RequestError(
            f"--metric: unknown metric {request.metric!r}{nearest(request.metric, METRIC)}"
        )
    if not request.results.is_dir():
        raise RequestError(f"{request.results}: no folder of runs")
    skipped: list[str] = []
    groups: dict[Key, list[Figure]] = {}
    suites: set[str] = set()
    modules: set[str] = set()
    for figure in read_figures(request.results, metric, skipped):
        suites.add(figure.keys.suite or "")
        modules.add(figure.module)
        if _is_wanted(figure, request):
            keys = figure.keys
            machine = keys.machine or f"unknown, of {keys.run}"  # it is like no other
            key = (keys.suite or "", figure.case_id, machine, bool(keys.against))
            groups.setdefault(key, []).append(figure)
    places = _find_places(request.since)
    found = (_series(key, figures, places) for key, figures in groups.items())
    all_series = [series for series in found if series is not None]
    if not all_series:
        raise _why_none(request, suites, modules, skipped)
    runs = {point.keys.run for series in all_series for point in series.points}
    software = _find_new_software(request.results, all_series)
    return History(metric, tuple(all_series), len(runs), software, tuple(skipped))


def _why_none(
    request: HistoryRequest, suites: Set[str], modules: Set[str], skipped: Sequence[str]
) -> RequestError:
    """Why there is no series: no run, none with such a figure, or none that matches.

    suites, modules: those with a known figure.
    """
    tables = len(list(request.results.glob(f"*/{TABLE}")))
    if not tables:
        return RequestError(f"{request.results}: contains no finished run")
    runs = units.number(tables, "run")
    if modules:
        for option, words, known in (
            ("--suite", request.suite, suites),
            ("--modules", request.modules, modules),
        ):
            if words is not None and not any(_matches(name, words) for name in known):
                return RequestError(f"{option} {words}: no run has it{nearest(words, known)}")
        together = "--suite, --modules and --since together"
        return RequestError(f"{request.results}: none of {runs} matches {together}")
    why = f"; {skipped[0]}" if skipped else ""
    if request.metric not in EXACT:
        why = f": it was unclear or not measured (--metric params may be known){why}"
    return NothingKnown(f"{request.results}: no {request.metric} is known in {runs}{why}")


def _is_wanted(figure: Figure, request: HistoryRequest) -> bool:
    asked = ((figure.keys.suite or "", request.suite), (figure.module, request.modules))
    return all(_matches(name, words) for name, words in asked)


def _matches(name: str, words: str | None) -> bool:
    """Whether one of the patterns matches; a suite's file stands for its name."""
    if words is None:
        return True
    stripped = [word.strip() for word in words.split(",")]
    patterns = [Path(word).stem if word.endswith(".toml") else word for word in stripped]
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class _Places:
    """The place of each commit, the oldest first; runs before `since` are left out."""

    of: Mapping[str, int]
    since: int | None = None

    def find(self, keys: Keys) -> int | None:
        return self.of.get(keys.revision or "")

    def is_recent(self, keys: Keys) -> bool:
        place = self.find(keys)
        return place is not None and self.since is not None and place >= self.since


def _find_places(since: str | None) -> _Places:
    root = find_root()
    if root is None:
        if since is not None:
            raise RequestError(f"--since {since}: this folder is in no git repository")
        return _Places({})
    try:
        commits = list_commits(root, "--all", of="--since")
    except RequestError:
        if since is None:  # the runs are then in the order of time
            return _Places({})
        raise
    places = {commit: place for place, commit in enumerate(commits)}
    if since is None:
        return _Places(places)
    first = find_commit(root, since, "--since")
    if first not in places:
        raise RequestError(f"--since {since}: is in no branch and no tag of this repository")
    return _Places(places, places[first])


def _series(key: Key, figures: Sequence[Figure], places: _Places) -> Series | None:
    """The series of these figures; None if none is recent enough."""
    suite, case_id, machine, in_pairs = key
    once = dict.fromkeys(figures)  # a copied folder is not another run
    points = in_order((Point(f.keys, f.value, f.lo, f.hi, f.baseline) for f in once), places.find)
    if places.since is not None:
        found = (at for at, p in enumerate(points) if places.is_recent(p.keys))
        points = points[next(found, len(points)) :]
    if not points:
        return None
    series = Series(suite, case_id, figures[0].module, machine, tuple(points))
    return chain(series) if in_pairs else follow(series)


def _find_new_software(results: Path, all_series: Sequence[Series]) -> tuple[NewSoftware, ...]:
    """Where the software changed, once for each pair of runs."""
    found: dict[tuple[str, str], NewSoftware] = {}
    for series in all_series:
        for at in () if series.in_pairs else series.breaks:
            then, now = series.points[at - 1], series.points[at]
            before, after = then.keys.run or "", now.keys.run or ""
            if (before, after) not in found:
                folders = (results / Path(name).name for name in (before, after))
                difference = _find_difference(*folders)
                if then.baseline != now.baseline:
                    difference = Difference("baseline", None, then.baseline, now.baseline)
                found[before, after] = NewSoftware(series.machine, before, after, difference)
    return tuple(found.values())


def _find_difference(before: Path, after: Path) -> Difference | None:
    try:
        then, now = (run_json.read(folder).environment for folder in (before, after))
    except RequestError:
        return None
    return find_difference(replace(then, fingerprint=now.fingerprint), now)
