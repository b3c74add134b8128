"""How long it takes to decide about the candidates that are unclear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attn_bench.analysis.forecast import make_forecast
from attn_bench.jobs.recommend.choice import KNOWN, Candidate, Choice
from attn_bench.jobs.recommend.limits import known_interval
from attn_bench.model.run import Block, Needs

# A candidate nearer to the limit, as a fraction, is on it: runs differ by more (`selfcheck`).
ON_THE_LIMIT = 0.01
NARROW = 0.03  # before its interval is so narrow, a candidate's place is not known


@dataclass(frozen=True, slots=True)
class MoreTime:
    """What would decide about the unclear candidates.

    needs: for all but those on the limit; None if it cannot be said.
    on_limit: the labels of candidates that no time decides about.
    """

    needs: Needs | None
    on_limit: tuple[str, ...]


def time_to_decide(
    choice: Choice, blocks: Sequence[Block], calling_share: float | None
) -> MoreTime | None:
    """What decides about the candidates whose latency is unclear; None if none is.

    blocks: of the run that measured them.
    """
    targets: dict[str, float] = {}
    on_limit = []
    for candidate in choice.candidates:
        target = _half_width_to_decide(candidate, choice)
        if target is None:
            continue
        ratio = candidate.row.interval("ratio")
        is_narrow = ratio is not None and ratio.half_width <= NARROW * ratio.value
        if target < ON_THE_LIMIT and is_narrow:
            on_limit.append(candidate.label)
        else:
            targets[candidate.row.case_id] = max(target, ON_THE_LIMIT)
    if choice.baseline is None or not (targets or on_limit):
        return None
    baseline = choice.baseline.case_id
    pairs = {**dict.fromkeys(targets, baseline), baseline: baseline}
    forecast = make_forecast(blocks, pairs, calling_share) if targets else None
    if forecast is None or len(forecast.estimates) != len(targets):
        return MoreTime(None, tuple(on_limit))
    return MoreTime(forecast.needs_for(list(targets.values())), tuple(on_limit))


def _half_width_to_decide(candidate: Candidate, choice: Choice) -> float | None:
    """The half-width of the ratio, as a fraction, that decides; None if more time does not help."""
    ratio = known_interval(candidate.row, "ratio")
    if candidate.fits != "unclear" or ratio is None:
        return None
    found = [KNOWN]
    for limit in choice.limits:
        interval = limit.interval(candidate.row, choice.baseline)
        is_open = candidate.keeps.get(limit.name) == "unclear" and not limit.of_training
        if is_open and interval is not None:
            found.append(abs(interval.value / limit.most - 1) if limit.most else KNOWN)
    return min(found)
