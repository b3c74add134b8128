"""The published gains of our variants on ImageNet, and the place of each in a backbone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from attn_bench.catalog.backbones import Place, one_spelling
from attn_bench.model.case import USUAL_PLACE
from attn_bench.model.row import Row
from attn_bench.papers import published
from attn_bench.papers.published import Provenance, Published

BACKBONE = "resnet50"  # a module measured alone is shown with its gains in this backbone
DATASET = "ImageNet-1k val"  # gains on other data sets are not comparable with these
PAPERS = {
    "1807.06514": "BAM",
    "1903.06586": "SKNet",
    "1903.10829": "SRM",
    "1904.11492": "GCNet",
    "1909.11519": "GCT",
    "2010.03045": "Triplet attention",
    "2103.02907": "Coordinate attention",
    "1709.01507": "Squeeze-and-Excitation",
    "1810.12348": "Gather-Excite",
    "1807.06521": "CBAM",
    "1910.03151": "ECA-Net",
}
SUREST: tuple[Provenance, ...] = ("read", "secondary", "recalled")


@dataclass(frozen=True, slots=True)
class Paper:
    """One training of one paper; gains of different trainings are not comparable.

    name: the name of the paper, or its source if it has no arXiv number.
    plain_error: the top-1 error of the plain backbone, in percent.

    >>> paper = Paper("Gather-Excite", "1810.12348", "ResNet-50", 23.3)
    >>> print(paper)
    Gather-Excite (arXiv:1810.12348): plain ResNet-50 with 23.3 % top-1 error
    """

    name: str
    arxiv: str | None
    backbone: str
    plain_error: float | None

    def __str__(self) -> str:
        name = f"{self.name} (arXiv:{self.arxiv})" if self.arxiv else self.name
        if self.plain_error is None:
            return f"{name}: {self.backbone}"
        return f"{name}: plain {self.backbone} with {self.plain_error:g} % top-1 error"


@dataclass(frozen=True, slots=True)
class Gain:
    """The published top-1 gain over the plain backbone of the same training, in percent points."""

    points: float
    paper: Paper
    provenance: Provenance
    source: str


def gains_of(variant: str, backbone: str = BACKBONE, place: str | None = None) -> tuple[Gain, ...]:
    """The published gains of our variant at `place` in our backbone; empty if no paper has one.

    place: by default, the place that the papers use.
    Each paper (and training) contributes its most reliable figure.

    >>> for gain in gains_of("ge_theta(extent=8)"):
    ...     print(gain.points, gain.paper)
    1.17 Gather-Excite (arXiv:1810.12348): plain ResNet-50 with 23.3 % top-1 error
    >>> gains_of("ge_theta(extent=8)", place="stage")
    ()
    """
    return _gains_of(variant, backbone, place or published_place(variant, backbone))


@cache
def has_gains(backbone: str) -> bool:
    """Whether any paper has a gain of one of our variants in `backbone`.

    >>> has_gains("resnet50"), has_gains("convnext_tiny")
    (True, False)
    """
    return any(
        gain is not None and published.our_backbone(row) == backbone and published.ours(row)
        for row, gain in _gains().items()
    )


@cache
def published_place(variant: str, backbone: str = BACKBONE) -> str:
    """The place where the papers put the variant in `backbone`.

    If no paper names one, it is their place in ResNet-50 if `backbone` has it, else USUAL_PLACE.

    >>> published_place("bam"), published_place("simam"), published_place("se", "convnext_tiny")
    ('stage 1-3', 'inner', 'block')
    """
    for of in dict.fromkeys((backbone, BACKBONE)):
        places = Counter(place for _, place in _rows(variant, of))
        if USUAL_PLACE in places:
            return USUAL_PLACE
        for place, _ in places.most_common():
            if Place.read(place).problem_in(backbone) is None:
                return one_spelling(place, backbone)
    return USUAL_PLACE


@cache
def _gains_of(variant: str, backbone: str, place: str) -> tuple[Gain, ...]:
    found: dict[Paper, Gain] = {}
    for row, where in _rows(variant, backbone):
        points = _gains()[row]
        if where == place and points is not None:
            paper = _paper(row)
            if paper not in found or _doubt(row.provenance) < _doubt(found[paper].provenance):
                found[paper] = Gain(points, paper, row.provenance, row.source)
    return tuple(found.values())


def _rows(variant: str, backbone: str) -> list[tuple[Published, str]]:
    """The published rows of a variant in one of our backbones, each with its place."""
    rows = published.published_as(variant, backbone)
    places = [ours[1] for row in rows if (ours := published.ours(row)) is not None]
    return [(row, one_spelling(p, backbone)) for row, p in zip(rows, places, strict=True)]


@cache
def _gains() -> Mapping[Published, float | None]:
    """The gains on DATASET; None for every other row."""
    found = published.gains()
    return {row: gain if row.dataset == DATASET else None for row, gain in found.items()}


def _doubt(provenance: Provenance) -> int:
    return SUREST.index(provenance)


def _paper(row: Published) -> Paper:
    baseline = published.baseline_of(row)
    error = None if baseline is None else baseline.top1_err
    number = re.search(r"arXiv:(\d{4}\.\d{5})", row.source)
    if number is None:
        return Paper(row.source, None, row.backbone, error)
    return Paper(PAPERS.get(number[1], "paper"), number[1], row.backbone, error)


def label_of(row: Row) -> str:
    """The variant, and its place in the network unless it is the place of the papers."""
    if row.backbone and row.place != published_place(row.variant, row.backbone):
        return f"{row.variant} at {row.place}"
    return row.variant
