"""The samples of the cases for the page, thinned: what a click on a case draws."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from attn_bench.analysis.estimates import WARM_UP_ROUNDS
from attn_bench.store import runs
from attn_bench.view.page.shown import Shown
from attn_bench.view.page.table import Case

MOST_SESSIONS = 30  # of one case
MOST = 40  # points of one session of one case
MOST_OF_ALL = 20_000  # points of a page: more would make the file too large


def collect(shown: Sequence[Shown], cases: Sequence[Case]) -> list[list[list[float]]]:
    """The time of one call in µs by case and session, without warm-up rounds.

    Empty for a case without samples, and for all cases of a run without samples.parquet. Raises
    RequestError for a damaged one.
    """
    by_run = {id(each): _sessions(each) for each in shown}
    found = [by_run[id(case.shown)].get(case.row.case_id, []) for case in cases]
    points = sum(min(len(session), MOST) for sessions in found for session in sessions)
    most = max(2, MOST * MOST_OF_ALL // points) if points > MOST_OF_ALL else MOST
    return [[_thin(session, most) for session in sessions] for sessions in found]


def _sessions(shown: Shown) -> dict[str, list[list[float]]]:
    if not (shown.run.path / runs.SAMPLES).exists():
        return {}
    sessions: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for block in runs.load_blocks(shown.run.path):
        if block.round >= WARM_UP_ROUNDS:
            us = 1e6 * block.seconds / block.calls
            sessions[block.case_id][block.session].append(us)
    return {
        case: [of[number] for number in sorted(of)[:MOST_SESSIONS]] for case, of in sessions.items()
    }


def _thin(values: Sequence[float], most: int) -> list[float]:
    """At most so many values, spread evenly over the rounds, in four digits."""
    step = max(1.0, len(values) / most)
    count = min(len(values), most)
    return [float(f"{values[int(i * step)]:.4g}") for i in range(count)]
