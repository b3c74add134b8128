"""The facts of the backbones that a suite may name, and the places in them.

A suite is checked against these facts, without loading a backbone. `modules/backbones.py` builds
timm's backbones. A network of the user's (`my_net.py:MyNet`) has no facts here: its worker knows.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from attn_bench.model.errors import RequestError, nearest

Kind = Literal["block", "inner", "slot", "stage", "layers"]
KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind != "layers")
FILE = Path(__file__).parent / "data" / "backbones.csv"  # by benchmarks/list_backbones.py
OWN = re.compile(r"[^:]+:[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class Backbone:
    """The facts of a backbone.

    family: timm's name for the file that defines it.
    stages: their number; None if it is not known here, as for a user's network.
    places: the kinds of place that it has.
    attention: the number of attention modules that it has already, in slots.
    """

    stages: int | None
    places: tuple[Kind, ...] = KINDS
    attention: int = 0
    family: str = ""


def _read() -> dict[str, Backbone]:
    with FILE.open(encoding="utf-8", newline="") as lines:
        return {
            row["backbone"]: Backbone(
                int(row["stages"]),
                tuple(kind for kind in KINDS if kind in row["places"].split()),
                int(row["attention"]),
                row["family"],
            )
            for row in csv.DictReader(line for line in lines if not line.startswith("#"))
        }


BACKBONES: Mapping[str, Backbone] = _read()


def is_own(name: str) -> bool:
    """Whether `name` is a network of the user's: FILE.py:CLASS, or PACKAGE.MODULE:FUNCTION."""
    return OWN.fullmatch(name) is not None


def backbone(name: str, place: str = "") -> Backbone:
    """The facts of `name`. Raises RequestError, with the nearest name, if it is unknown."""
    if is_own(name):
        return Backbone(None)
    if name not in BACKBONES:
        prefix = f"{place}: " if place else ""
        if name.endswith(".py") or "/" in name:
            raise RequestError(
                f"{prefix}{name!r}: name the class or function in it ({name}:MyNet?)"
            )
        raise RequestError(
            f"{prefix}unknown backbone {name!r}{nearest(name, BACKBONES)}; `attn-bench list "
            "backbones` names all, and FILE.py:CLASS is a network of yours"
        )
    return BACKBONES[name]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a module goes: the kind of place, and the stages; None means all stages.

    block: in each block, before the sum with the shortcut.
    inner: in each block, after its spatial convolution.
    slot: instead of each built-in attention module; without one, in each empty slot for it.
    stage: after the last block of the stage.
    layers: after each layer whose name matches the pattern.

    >>> Place.read("stage 1-3, 4")
    Place(kind='stage', stages=(1, 2, 3, 4), layers=None)
    >>> Place.read("layer*.conv2").layers
    'layer*.conv2'
    """

    kind: Kind
    stages: tuple[int, ...] | None = None
    layers: str | None = None

    @classmethod
    def read(cls, text: str) -> Place:
        """The place that `text` names. Raises ValueError if it is not a place."""
        word, _, rest = text.strip().partition(" ")
        if re.search(r"[.*?\[]", word) and not rest:
            return cls("layers", layers=word)
        kind = next((known for known in KINDS if known == word), None)
        if kind is None:
            raise ValueError(
                f"unknown place {word!r}{nearest(word, KINDS)}; a pattern of layer names is a "
                "place, too (layer*.conv2)"
            )
        if not rest:
            return cls(kind)
        stages: set[int] = set()
        for part in rest.split(","):
            match = re.fullmatch(r"\s*(\d{1,2})(?:-(\d{1,2}))?\s*", part)
            if match is None or int(match[2] or match[1]) < int(match[1]):
                raise ValueError(f"{rest!r} is not a list of stages ({word} 3,4 or {word} 1-3?)")
            stages |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
        return cls(kind, tuple(sorted(stages)))

    def __str__(self) -> str:
        """The one spelling of this place."""
        kind = self.layers or self.kind
        return kind if self.stages is None else f"{kind} {_ranges(self.stages)}"

    def within(self, name: str) -> Place:
        """The same place in the backbone called `name`; all stages become None.

        >>> str(Place.read("block 1,2,3, 4").within("resnet50")), str(Place.read("inner 2,3,4"))
        ('block', 'inner 2-4')
        """
        stages = backbone(name).stages
        is_whole = stages is not None and self.stages == tuple(range(1, stages + 1))
        return Place(self.kind) if is_whole else self

    def problem_in(self, name: str, there: Backbone | None = None) -> str | None:
        """Why the backbone called `name` lacks this place; None if it has it.

        there: its facts, if the catalog does not know them.
        """
        there = there or backbone(name)
        if self.kind != "layers" and self.kind not in there.places:
            what = {"slot": "attention slot", "block": "residual blocks"}.get(self.kind, self.kind)
            return f"{name} has no {what} ({_either(there.places)}?)"
        most = there.stages
        outside = [] if most is None else [n for n in self.stages or () if not 1 <= n <= most]
        if outside:
            return f"{name} has stages 1 to {there.stages}, not {outside[0]}"
        return None


def one_spelling(place: str, backbone: str) -> str:
    """The one spelling of `place` in that backbone. Raises ValueError if it is not a place."""
    found = Place.read(place)
    return str(found.within(backbone) if backbone in BACKBONES else found)


def _either(kinds: tuple[Kind, ...]) -> str:
    """
    >>> _either(("block", "inner", "stage"))
    'block, inner or stage'
    """
    *most, last = kinds or ("a pattern of layers",)
    return f"{', '.join(most)} or {last}" if most else last


def _ranges(stages: tuple[int, ...]) -> str:
    """Stage numbers as text, with ranges.

    >>> _ranges((1, 3, 4, 5)), _ranges((3, 4))
    ('1,3-5', '3,4')
    """
    runs: list[list[int]] = []
    for stage in stages:
        if runs and stage == runs[-1][-1] + 1:
            runs[-1].append(stage)
        else:
            runs.append([stage])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs
    )
