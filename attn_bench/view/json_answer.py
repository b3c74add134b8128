"""The answers of commands as JSON, for programs: one schema, one spelling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

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
