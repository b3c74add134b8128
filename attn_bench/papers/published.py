"""The papers' figures and their sources; this program measured none of them.

`data/published.csv` has the rows. `data/published.toml` links a row to its baseline and to our
variant. A `recalled` figure was written from memory and agrees with every figure that can be
checked. A ranking by such a figure states its source.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

from attn_bench.model.case import USUAL_PLACE, Variant

Provenance = Literal["read", "secondary", "recalled"]

DATA = Path(__file__).parent / "data"
NO_MODULE = "none"


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a paper's table; a value that the paper does not print is None.

    top1_err, top5_err: in percent.
    params_m: in millions, counted as the paper counts.
    gflops: counted as the paper counts.
    provenance: "read" in the source itself, "secondary" if quoted elsewhere, "recalled" from
        memory.
    """

    backbone: str
    module: str
    variant: str
    params_m: float | None
    gflops: float | None
    top1_err: float | None
    top5_err: float | None
    dataset: str
    crop: int
    provenance: Provenance
    source: str

    @property
    def is_baseline(self) -> bool:
        return self.module == NO_MODULE


@cache
def load() -> tuple[Published, ...]:
    """Every row, in the order of the file.

    >>> row = load()[1]
    >>> row.backbone, row.module, row.variant, row.top1_err, row.params_m
    ('ResNet-50', 'SE', 'r=16', 23.29, None)
    """
    with (DATA / "published.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_row(cells) for cells in csv.DictReader(file))


def gains() -> dict[Published, float | None]:
    """The top-1 gain of each row over the baseline of the same paper, in percentage points.

    It is None for baselines and for rows whose paper has no baseline. Gains of different papers
    are not comparable, because their training differs.

    >>> found = gains()
    >>> found[load()[1]]
    1.51
    """
    return {row: _gain(row) for row in load()}


def baseline_of(row: Published) -> Published | None:
    """The plain backbone of the same paper and training, if the paper has exactly one."""
    if row.is_baseline or any(fits(rule, row) for rule in read_links()["taken_over"]):
        return None
    moved = [rule["of"] for rule in read_links()["baseline"] if fits(rule, row)]
    source = moved[0] if moved else row.source
    found = [
        other
        for other in load()
        if other.is_baseline
        and other.source == source
        and (other.backbone, other.dataset, other.crop) == (row.backbone, row.dataset, row.crop)
    ]
    return found[0] if len(found) == 1 else None


def our_variant(row: Published) -> str | None:
    """The label of our variant of the row's module; PLAIN for a row without a module.

    None if we do not have the module.

    >>> [our_variant(row) for row in load() if row.variant == "GE-theta E4"]
    ['ge_theta(extent=4)']
    """
    found = ours(row)
    return found[0].label if found else None


def ours(row: Published) -> tuple[Variant, str] | None:
    """Our variant of the row's module, and its place in the backbone; None if we have none."""
    rule = next((rule for rule in read_links()["ours"] if fits(rule, row)), None)
    if rule is None:
        return None
    what = rule["ours"]
    variant = Variant(what["module"], what.get("extent"), tuple(what.get("arguments", {}).items()))
    return variant, rule.get("place", USUAL_PLACE)


def our_backbone(row: Published) -> str | None:
    """Our name of the row's backbone; None if we do not have it."""
    found: str | None = read_links()["backbones"].get(row.backbone)
    return found


def published_as(variant: str, backbone: str | None = None) -> tuple[Published, ...]:
    """The published rows of our variant with that label, in one of our backbones or in all.

    >>> sorted({row.top1_err for row in published_as("ge_theta_minus(extent=4)", "resnet50")})
    [22.87]
    """
    return tuple(
        row
        for row in load()
        if our_variant(row) == variant and backbone in (None, our_backbone(row))
    )


@cache
def read_links() -> Mapping[str, Any]:
    """The content of published.toml."""
    return tomllib.loads((DATA / "published.toml").read_text(encoding="utf-8"))


def fits(rule: Mapping[str, Any], row: Published) -> bool:
    """Whether every pattern of the rule matches the row's column of that name."""
    columns = {
        name: rule[name] for name in ("backbone", "module", "variant", "source") if name in rule
    }
    return all(
        any(fnmatchcase(getattr(row, name), pattern) for pattern in _as_list(patterns))
        for name, patterns in columns.items()
    )


def _as_list(patterns: str | Sequence[str]) -> Sequence[str]:
    return [patterns] if isinstance(patterns, str) else patterns


def _gain(row: Published) -> float | None:
    baseline = baseline_of(row)
    if baseline is None or baseline.top1_err is None or row.top1_err is None:
        return None
    return round(baseline.top1_err - row.top1_err, 3)


def _row(cells: Mapping[str, str]) -> Published:
    def number(name: str) -> float | None:
        return float(cells[name]) if cells[name] else None

    return Published(
        backbone=cells["backbone"],
        module=cells["module"],
        variant=cells["variant"].strip(),
        params_m=number("params_m"),
        gflops=number("gflops"),
        top1_err=number("top1_err"),
        top5_err=number("top5_err"),
        dataset=cells["dataset"],
        crop=int(cells["crop"]),
        provenance=cells["provenance"],  # type: ignore[arg-type]  # a test checks the file
        source=cells["source"],
    )
