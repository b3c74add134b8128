"""A foreign class against a paper's formula: the verdict of `verify FILE.py:CLASS --as NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ForeignVerdict = Literal["agrees", "differs", "not_built", "not_mapped"]


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison found.

    reasons: the likeliest causes of a difference, or why the class was not built or mapped.
    remarks: what differs where the paper leaves it open, and the sizes that the class refuses.
    call: how the class was built.
    mapping: the name of each tensor of the class -> that of the registered module.
    apart: the largest difference from the formula, as a part of its largest value; None if it
        agrees, also with other sizes, and if it could not be computed.
    """

    verdict: ForeignVerdict
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    call: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    apart: float | None = None
