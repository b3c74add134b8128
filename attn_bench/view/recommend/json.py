"""A recommendation as JSON."""

from __future__ import annotations

from dataclasses import asdict

from attn_bench.jobs.recommend.answer import Recommendation
from attn_bench.view.json_answer import as_json
from attn_bench.view.recommend import words


def write_json(answer: Recommendation) -> str:
    """The whole answer as JSON."""
    choice = answer.choice
    content = {
        "question": words.make_title(answer),
        "limits": [str(limit) for limit in choice.limits],
        "chosen": choice.chosen.label if choice.chosen else None,
        "paper": str(choice.paper) if choice.paper else None,
        "reasons": words.give_reasons(choice),
        "keeps_built_in": choice.chosen is None and choice.keeps_own,
        "to_decide": words.say_how_long(answer),
        "unknown": words.list_caveats(answer),
        "baseline": asdict(choice.baseline) if choice.baseline else None,
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
    return as_json("recommend", content)
