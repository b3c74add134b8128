"""A recommendation for several devices in words, as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from attn_bench.jobs.recommend.choice import Candidate, Choice
from attn_bench.jobs.recommend.devices import DevicesAnswer
from attn_bench.model import units
from attn_bench.model.status import COUNTED
from attn_bench.view.json_answer import as_json
from attn_bench.view.recommend.table import MARKS, TAKEN
from attn_bench.view.recommend.words import give_reasons, list_unknowns, show_ratio

LEGEND = (
    "Added latency on each device, against the plain network on the same host; ± 95 % interval; "
    "! beyond a limit; ? possibly beyond a limit."
)


def make_title(answer: DevicesAnswer) -> str:
    """The question in one line."""
    limits = ", ".join(map(str, answer.joint.limits))
    devices = units.number(len(answer.by_device), "device")
    return f"{answer.subject} on {devices}; {f'limits: {limits}' if limits else 'no limits'}"


def list_reasons(answer: DevicesAnswer) -> list[str]:
    """Sentences: the module for all devices, the reason, and the best for each device."""
    found = [*(_choose_none(answer) if answer.joint.chosen is None else _take(answer))]
    best = [f"{name}: {_name(choice)}" for name, choice in answer.by_device.items()]
    found.append(f"The best for each device: {'; '.join(best)}.")
    if answer.unfinished:
        found.append(f"Not measured yet: {units.listing(list(answer.unfinished))}.")
    return found


def _take(answer: DevicesAnswer) -> Iterator[str]:
    """The module for all devices, and the reason."""
    joint = answer.joint
    assert joint.chosen is not None
    limits = ", ".join(map(str, joint.limits))
    yield (
        f"Take {joint.chosen.label} on all {units.number(len(answer.by_device), 'device')}: it "
        f"adds at most {show_ratio(joint.chosen.row)} to the latency, on "
        f"{answer.costs_most_on(joint.chosen)}, "
        f"{f'within the limits ({limits})' if limits else 'and no limit is set'}."
    )
    yield from give_reasons(joint)[1:]


def _choose_none(answer: DevicesAnswer) -> Iterator[str]:
    """Why none is recommended, and the candidate that keeps the limits on most devices."""
    joint = answer.joint
    limits = ", ".join(map(str, joint.limits)) or "none but the precision"
    certainly = "certainly " if joint.is_open else ""
    yield f"No candidate {certainly}keeps the limits ({limits}) on all devices."
    counts = {
        c.label: [name for name in answer.by_device if not _fits(answer, name, c.label)]
        for c in joint.candidates
    }
    if counts:
        label, misses = min(counts.items(), key=lambda each: len(each[1]))
        if len(misses) < len(answer.by_device):
            yield f"{label} keeps them but on {units.listing(misses)}."


def _fits(answer: DevicesAnswer, device: str, label: str) -> bool:
    candidate = answer.find(device, label)
    return candidate is not None and candidate.fits == "yes"


def _name(choice: Choice) -> str:
    if choice.chosen is None:
        return "undecided" if choice.is_open else "none"
    return f"{choice.chosen.label} ({show_ratio(choice.chosen.row)})"


def make_table(answer: DevicesAnswer) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The headings, and a line for each candidate: its cost on each device, and whether it fits."""
    joint = answer.joint
    lines = [
        (
            f"{TAKEN if candidate is joint.chosen else ' '} {candidate.label}",
            *(_cost(answer.find(name, candidate.label)) for name in answer.by_device),
            candidate.fits,
        )
        for candidate in joint.candidates
    ]
    return ("candidate", *answer.by_device, "fits all"), lines


def _cost(candidate: Candidate | None) -> str:
    if candidate is None:
        return units.UNKNOWN
    if candidate.row.status not in COUNTED:
        return candidate.row.status
    return show_ratio(candidate.row) + MARKS[candidate.fits]


def list_caveats(answer: DevicesAnswer) -> list[str]:
    return [
        *list_unknowns(answer.joint),
        "nothing was measured for this answer; costs hold for these devices, batch size and "
        "thread count",
    ]


def write_json(answers: Sequence[DevicesAnswer]) -> str:
    """The answers as JSON, one for each network."""
    return as_json("recommend", {"answers": list(map(_describe, answers))})


def _describe(answer: DevicesAnswer) -> dict[str, Any]:
    joint = answer.joint
    return {
        "question": make_title(answer),
        "limits": [str(limit) for limit in joint.limits],
        "chosen": joint.chosen.label if joint.chosen else None,
        "reasons": list_reasons(answer),
        "unknown": list_caveats(answer),
        "unfinished": answer.unfinished,
        "devices": {
            name: {
                "chosen": choice.chosen.label if choice.chosen else None,
                "candidates": [
                    {"label": c.label, "fits": c.fits, "row": asdict(c.row)}
                    for c in choice.candidates
                ],
            }
            for name, choice in answer.by_device.items()
        },
        "candidates": [{"label": c.label, "fits": c.fits} for c in joint.candidates],
        "exit_status": answer.exit_status,
    }
