"""The answer of a bisection in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from attn_bench.jobs.history.bisect import Asked, Bisected
from attn_bench.model import units
from attn_bench.model.status import Exit
from attn_bench.view.history import COMMIT, show_ratio


def list_sentences(found: Bisected) -> Iterator[str]:
    """What was found, the answer first."""
    between = units.number(len(found.commits) - 2, "commit")
    if found.ratio is None:
        if found.outcome == "broken":
            yield f"The ends cannot be compared: {found.reason}."
        elif found.outcome == "same":
            yield f"No case changed its {found.metric} between the ends ({between} between them)."
        else:
            yield (
                f"Whether any case changed its {found.metric} between the ends is undecided: "
                "repeat it with a larger --budget, or on a quieter machine."
            )
        return
    assert found.first is not None
    assert found.last is not None
    whole = f"over the whole span {show_ratio(found.ratio)}"
    if found.outcome == "commit":
        step = show_ratio(found.step)
        yield f"{found.last} changed the {found.metric} of {found.case_id}: {step}, {whole}."
    else:
        inside = found.commits.index(found.last) - found.commits.index(found.first)
        yield (
            f"The {found.metric} of {found.case_id} changed in one of "
            f"{units.number(inside, 'commit')} after {found.first}, up to {found.last}: {whole}."
        )
    yield from map(_tell, found.asked)


def _tell(asked: Asked) -> str:
    commit = asked.commit[:COMMIT]
    if asked.side is None:
        return f"{commit} could not be measured: {asked.reason}"
    where = {"before": "before", "after": "after", "unknown": "undecided"}[asked.side]
    return f"{commit} {where}: {show_ratio(asked.ratio)} against the good end"


def as_json(found: Bisected) -> str:
    """The answer with its ratios, new over old."""
    return json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n"


def exit_status(found: Bisected) -> Exit:
    if found.outcome == "broken":
        return Exit.NOT_MEASURED
    return Exit.GOOD if found.outcome in ("commit", "same") else Exit.UNDECIDED
