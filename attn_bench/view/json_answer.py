"""The answers of commands as JSON, for programs: one schema, one spelling."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from attn_bench.model import units
from attn_bench.model.errors import RequestError
from attn_bench.store.files import write_atomically
from attn_bench.store.reading import parse_json, read_bytes, read_record

FILE = "answer.json"  # in the run folder that the command measured
ANSWER_SCHEMA = 1
Kind = Literal["check", "recommend", "verify"]


def as_json(kind: Kind, content: Mapping[str, Any]) -> str:
    """`content` as the answer of the command `kind`. ANSWER_SCHEMA changes when a key changes.

    >>> print(as_json("verify", {"state": "finished"}), end="")
    {
      "schema": 1,
      "kind": "verify",
      "state": "finished"
    }
    """
    answer = {"schema": ANSWER_SCHEMA, "kind": kind, **content}
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"


def keep(folder: Path, text: str) -> None:
    """Keep the answer in a run folder, for its page. Raises OSError."""
    write_atomically(folder / FILE, text.encode(errors="backslashreplace"))


@dataclass(frozen=True)
class KeptTable:
    """A table in words; a line may have fewer cells than there are headings."""

    headings: Annotated[tuple[str, ...], MinLen(1)]
    lines: tuple[tuple[str, ...], ...]
    legend: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """A kept recommendation.

    sentences: the reasons, and what would decide the rest.
    caveats: the assumptions of the choice.
    table: the candidates as the console shows them; None in an answer of an earlier version.
    limits: as they were asked for (`latency +5%`).
    chosen: the case that is recommended.
    fits: whether each case keeps the limits.
    """

    question: str
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]
    table: KeptTable | None
    limits: tuple[str, ...]
    chosen: str | None
    fits: Mapping[str, str]


@dataclass(frozen=True)
class _Candidate:
    label: str
    fits: Literal["yes", "no", "unclear", "unknown"]
    row: Mapping[str, Any]


@dataclass(frozen=True)
class _Stored:
    schema: Literal[1]
    kind: Literal["recommend"]
    question: Annotated[str, MinLen(1)]
    reasons: Annotated[tuple[str, ...], MinLen(1)]
    to_decide: tuple[str, ...]
    limits: tuple[str, ...]
    chosen: str | None
    candidates: tuple[_Candidate, ...]
    unknown: tuple[str, ...] = ()
    table: KeptTable | None = None
    reused: Mapping[str, int] = field(default_factory=dict)


def say_reused(found: tuple[str, int]) -> str:
    """How many figures of an answer are those of the stored run of that name."""
    name, number = found
    return f"{units.number(number, 'figure')} of the stored run {name} (--fresh measures anew)"


def read_kept(folder: Path) -> Kept | None:
    """The kept recommendation of a run folder; None without one. Raises RequestError."""
    file = folder / FILE
    if not os.path.lexists(file):
        return None
    content = read_bytes(file)
    try:
        stored = read_record(parse_json(content), _Stored)
    except RequestError as error:
        raise RequestError(f"{file}: {error}") from None
    cases = {str(each.row.get("case_id")): each for each in stored.candidates}
    chosen = [case for case, each in cases.items() if each.label == stored.chosen]
    return Kept(
        stored.question,
        (*stored.reasons, *stored.to_decide),
        (*stored.unknown, *map(say_reused, stored.reused.items())),
        stored.table,
        stored.limits,
        chosen[0] if chosen else None,
        {case: each.fits for case, each in cases.items()},
    )
