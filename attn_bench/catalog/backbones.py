"""The facts of the backbones that a suite may name, and the places in them.

A suite is checked against these facts, without loading a backbone. `modules/backbones.py` builds
the backbones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from attn_bench.model.errors import RequestError, nearest

Kind = Literal["block", "inner", "slot", "stage"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Backbone:
    """The facts of a backbone.

    stages: their number.
    has_slot: whether the blocks have a built-in slot for attention.
    """

    stages: int
    has_slot: bool = True


BACKBONES: Mapping[str, Backbone] = {
    **{f"resnet{depth}": Backbone(4) for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}_caffe": Backbone(4) for depth in (50, 101, 152)},
    **{f"resnext{depth}_32x4d": Backbone(4) for depth in (50, 101)},
    **dict.fromkeys(("mobilenetv1_100",), Backbone(5)),
    **dict.fromkeys(("mobilenetv2_050", "mobilenetv2_100", "mobilenetv2_140"), Backbone(7)),
    **{f"efficientnet_b{size}": Backbone(7) for size in range(5)},
    **{
        f"convnext_{size}": Backbone(4, has_slot=False)
        for size in ("atto", "femto", "pico", "nano", "tiny", "small", "base")
    },
    **{
        f"regnet{family}_{size}": Backbone(4)
        for family in "xy"
        for size in ("002", "004", "006", "008", "016", "032", "040", "064", "080")
    },
}


def backbone(name: str, place: str = "") -> Backbone:
    """The facts of `name`. Raises RequestError, with the nearest name, if it is unknown."""
    if name not in BACKBONES:
        prefix = f"{place}: " if place else ""
        raise RequestError(f"{prefix}unknown backbone {name!r}{nearest(name, BACKBONES)}")
    return BACKBONES[name]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a module goes: the kind of place, and the stages; None means all stages.

    block: in each block, before the sum with the shortcut.
    inner: in each block, after its spatial convolution.
    slot: in the built-in attention slot of each block.
    stage: after the last block of the stage.

    >>> Place.read("block"), Place.read("stage 1-3, 4")
    (Place(kind='block', stages=None), Place(kind='stage', stages=(1, 2, 3, 4)))
    """

    kind: Kind
    stages: tuple[int, ...] | None = None

    @classmethod
    def read(cls, text: str) -> Place:
        """The place that `text` names. Raises ValueError if it is not a place."""
        word, _, rest = text.strip().partition(" ")
        kind = next((known for known in KINDS if known == word), None)
        if kind is None:
            raise ValueError(f"unknown place {word!r}{nearest(word, KINDS)}")
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
        return self.kind if self.stages is None else f"{self.kind} {_ranges(self.stages)}"

    def within(self, name: str) -> Place:
        """The same place in the backbone called `name`; all stages become None.

        >>> str(Place.read("block 1,2,3, 4").within("resnet50")), str(Place.read("inner 2,3,4"))
        ('block', 'inner 2-4')
        """
        whole = tuple(range(1, BACKBONES[name].stages + 1))
        return Place(self.kind) if self.stages == whole else self

    def problem_in(self, name: str) -> str | None:
        """Why the backbone called `name` lacks this place; None if it has it."""
        there = BACKBONES[name]
        if self.kind == "slot" and not there.has_slot:
            return f"{name} has no attention slot (block, inner or stage?)"
        outside = [stage for stage in self.stages or () if not 1 <= stage <= there.stages]
        if outside:
            return f"{name} has stages 1 to {there.stages}, not {outside[0]}"
        return None


def one_spelling(place: str, backbone: str) -> str:
    """The one spelling of `place` in that backbone. Raises ValueError if it is not a place."""
    found = Place.read(place)
    return str(found.within(backbone) if backbone in BACKBONES else found)


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
