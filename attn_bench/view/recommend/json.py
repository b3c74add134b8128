"""A recommendation as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from attn_bench.jobs.recommend.answer import Recommendation
from attn_bench.view.json_answer import as_json
from attn_bench.view.markup import unmark
from attn_bench.view.recommend import table, words


def write_json(answers: Sequence[Recommendation]) -> str:
    """One answer as JSON, or several below the key `answers`."""
    found = [_describe(answer) for answer in answers]
    return as_json("recommend", found[0] if len(found) == 1 else {"answers": found})


def _describe(answer: Recommendation) -> dict[str, Any]:
    choice = answer.choice
    return {
        "question": words.make_title(answer),
        "limits": [str(limit) for limit in choice.limits],
        "chosen": choice.chosen.label if choice.chosen else None,
        "paper": str(choice.paper) if choice.paper else None,
        "reasons": words.give_reasons(choice),
        "keeps_built_in": choice.chosen is None and choice.keeps_own,
        "to_decide": words.say_how_long(answer),
        "unknown": words.list_caveats(answer),
        "baseline": asdict(choice.baseline) if choice.baseline else None,
        "table": _describe_table(answer),
        "candidates": [
            {
                "label": candidate.label,
                "fits": candidate.fits,
                "missed": words.list_missed(candidate, choice),
                "on_front": sorted(map(str, candidate.on_front)),
                "gains": [
                    {**asdict(gain), "paper": str(paper)} for paper, gain in candidate.gains.items()
                ],
                "row": asdict(candidate.row),
                "training": asdict(candidate.training) if candidate.training else None,
            }
            for candidate in choice.candidates
        ],
        "reused": answer.reused,
        "exit_status": answer.exit_status,
    }


def _describe_table(answer: Recommendation) -> dict[str, Any]:
    """The table of the console in words, and its legend."""
    shown = table.make_table(answer.choice, answer.request.share_of_us)
    return {
        "headings": shown.headings,
        "lines": [list(map(unmark, line)) for line in shown.lines],
        "legend": table.make_legend(answer.choice),
    }
