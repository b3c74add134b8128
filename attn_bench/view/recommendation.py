"""A recommendation in words: its title, what it rests on and leaves open, and all of it as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from attn_bench.jobs.recommend.answer import Recommendation
from attn_bench.model import units
from attn_bench.model.axes import unusual_words
from attn_bench.view.reasons import reasons, unknown

SCHEMA = 1


def title(answer: Recommendation) -> str:
    """What was asked."""
    request, case, seen = answer.request, answer.case, answer.info.environment
    limits = ", ".join(map(str, request.limits))
    words = [
        f"{request.backbone or 'a stage'} at {case.shape.in_words}",
        *unusual_words(case, lambda axis: axis.name not in ("mode", "device")),
        case.mode,
        seen.device,
        units.number(seen.threads or 0, "thread"),
    ]
    return f"{', '.join(words)}; {f'limits: {limits}' if limits else 'no limits'}"


def caveats(answer: Recommendation) -> list[str]:
    """What the choice rests on, and leaves open."""
    deviation, origin = answer.run_to_run
    found = [
        *unknown(answer.choice),
        f"costs are of this machine, batch and thread count; ratios differ by ± "
        f"{100 * deviation:.1f} % from run to run ({origin})",
    ]
    if any(limit.metric == "latency" and not limit.is_relative for limit in answer.request.limits):
        found.append(
            "a limit in milliseconds holds for the hour in which it was measured: a shared machine "
            "is slower at times; a limit as +10% is not affected"
        )
    out = answer.request.request.out
    if out and answer.measured is None:
        found.append(f"nothing had to be measured, so {out} was not written")
    return found


def as_json(answer: Recommendation) -> str:
    """Everything, for programs."""
    choice = answer.choice
    content = {
        "schema": SCHEMA,
        "question": title(answer),
        "limits": [str(limit) for limit in choice.limits],
        "chosen": choice.chosen.label if choice.chosen else None,
        "paper": choice.paper,
        "reasons": reasons(choice),
        "unknown": caveats(answer),
        "baseline": asdict(choice.baseline) if choice.baseline else None,
        "candidates": [
            {
                "label": candidate.label,
                "fits": candidate.fits,
                "missed": candidate.missed,
                "on_front": sorted(candidate.on_front),
                "gains": [asdict(gain) for gain in candidate.gains.values()],
                "row": asdict(candidate.row),
            }
            for candidate in choice.candidates
        ],
        "reused": answer.reused,
        "exit_status": answer.exit_status,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
