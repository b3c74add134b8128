"""The answers of commands as JSON, for programs: one schema, one spelling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from attn_bench.model.errors import RequestError
from attn_bench.store.files import write_atomically
from attn_bench.store.reading import parse_json, read_bytes

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


def read_sentences(folder: Path) -> tuple[str, list[str]] | None:
    """The question of a kept recommendation and its sentences; None if there is none to read."""
    try:
        answer = parse_json(read_bytes(folder / FILE))
    except RequestError:
        return None
    if not isinstance(answer, dict) or answer.get("schema") != ANSWER_SCHEMA:
        return None
    question, reasons, more = (answer.get(key) for key in ("question", "reasons", "to_decide"))
    if not (isinstance(question, str) and isinstance(reasons, list) and isinstance(more, list)):
        return None
    return question, [str(sentence) for sentence in (*reasons, *more)]
