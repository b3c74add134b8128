"""The published networks, rebuilt: our parameters and GFLOPs beside those of the papers.

A figure *matches* if ours, counted as that paper counts, equals every digit that the paper prints.
Otherwise it is *explained*, if `data/published.toml` gives the reason for our figure, or it
*differs*. That file also has the convention of each paper: the weights of our counts, the unit, the
digits printed, and whose strides.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from attn_bench.catalog.backbones import BACKBONES
from attn_bench.model.axes import DeviceName
from attn_bench.model.case import PLAIN, Case, Network, Shape, Variant
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED
from attn_bench.papers.published import DATA, Published, fits, load, our_backbone, ours, read_links

Agreement = Literal["match", "explained", "differs"]

PAPERS_STRIDES = "_caffe"
ROW_COUNTS = ("params", "buffers", "macs", "macs_fvcore", "elementwise_ops", "activations")


@dataclass(frozen=True, slots=True)
class Figure:
    """One count, ours and the paper's, in the digits that the paper prints.

    why: the reason if the two differ.
    """

    name: str
    ours: str
    theirs: str
    verdict: Agreement
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One published network and the figures that its paper prints.

    model, source: names for people.
    """

    model: str
    source: str
    provenance: str
    convention: str
    case_id: str
    figures: tuple[Figure, ...]


def published_cases(device: DeviceName) -> Iterator[Case]:
    """Every network that `compare` needs, each once."""
    found = [case for row in load() if (case := case_of(row, device)) is not None]
    found += [case for line in _read_counts() for case in _cases_of(line, device)]
    yield from {case.id: case for case in found}.values()


def case_of(row: Published, device: DeviceName) -> Case | None:
    """The network of a row that prints parameters or GFLOPs; None if it is not rebuilt."""
    backbone, known = our_backbone(row), ours(row)
    is_counted = row.params_m is not None or row.gflops is not None
    if not is_counted or backbone is None or known is None or _reason_against(row) is not None:
        return None
    has_papers = backbone + PAPERS_STRIDES in BACKBONES
    if convention(row)["strides"] == "paper" and has_papers:
        backbone += PAPERS_STRIDES
    variant, place = known
    network = Network(backbone) if variant.module == PLAIN else Network(backbone, place)
    return Case(variant, _image(_counted_at(row)), device=device, network=network)


def compare(
    rows: Iterable[Row], operations: Mapping[str, Mapping[str, int]], device: DeviceName
) -> list[Comparison]:
    """Compare the measured `rows` with the published figures.

    Other networks, and those whose work is unknown, are left out.

    operations: case -> operator -> operations, from run.json.
    """
    measured = {
        row.case_id: row
        for row in rows
        if row.status in COUNTED and None not in (row.macs, row.macs_fvcore)
    }
    found = [_compare_with_expected(line, measured, device) for line in _read_counts()]
    for row in load():
        case = case_of(row, device)
        if case is not None and case.id in measured:
            found.append(_compare_with_paper(row, measured[case.id], operations.get(case.id, {})))
    return [comparison for comparison in found if comparison is not None]


def any_differs(
    rows: Iterable[Row], operations: Mapping[str, Mapping[str, int]], device: DeviceName
) -> bool:
    """Whether a published figure differs from ours without an explanation."""
    found = compare(rows, operations, device)
    return any(figure.verdict == "differs" for one in found for figure in one.figures)


def count_left_out() -> Counter[str]:
    """The reasons why the other rows are not rebuilt, and the number of rows for each."""
    reasons = [_reason_against(row) for row in load() if case_of(row, "cpu") is None]
    return Counter(reason or "no module here corresponds to it" for reason in reasons)


def convention(row: Published) -> Mapping[str, Any]:
    """The convention by which the row's paper counts."""
    found: Mapping[str, Any] = next(rule for rule in read_links()["convention"] if fits(rule, row))
    return found


def _reason_against(row: Published) -> str | None:
    if row.params_m is None and row.gflops is None:
        return "the row prints accuracy alone"
    rule = next((rule for rule in read_links()["not_rebuilt"] if fits(rule, row)), None)
    return None if rule is None else str(rule["why"])


def _compare_with_paper(row: Published, measured: Row, operations: Mapping[str, int]) -> Comparison:
    rules = convention(row)
    counts = {name: getattr(measured, name) or 0 for name in ROW_COUNTS} | dict(operations)
    figures = []
    for name, theirs in (("params_m", row.params_m), ("gflops", row.gflops)):
        if theirs is None:
            continue
        rule = rules[name]
        count = sum(weight * counts.get(what, 0) for what, weight in rule["counts"].items())
        count += rule.get("plus", 0)
        shown = f"{count / rule['unit']:.{rule['digits']}f}"
        printed = f"{theirs:.{rule['digits']}f}"
        why = None if shown == printed else _explanation(row, name, shown)
        verdict: Agreement = (
            "match" if shown == printed else "differs" if why is None else "explained"
        )
        figures.append(Figure(name, shown, printed, verdict, why))
    model = row.backbone if row.is_baseline else f"{row.backbone} + {row.module}"
    return Comparison(
        model=f"{model} ({row.variant})" if row.variant else model,
        source=row.source,
        provenance=row.provenance,
        convention=str(rules["about"]),
        case_id=measured.case_id,
        figures=tuple(figures),
    )


def _explanation(row: Published, name: str, shown: str) -> str | None:
    """Why the paper's figure differs from ours; valid only if ours is `shown`."""
    for rule in read_links()["explained"]:
        if fits(rule, row) and rule.get(name) == shown:
            return str(rule["why"])
    return None


# --- expected counts: the same networks, counted in four ways -------------------------------------


def _read_counts() -> list[dict[str, str]]:
    with (DATA / "counts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _cases_of(line: Mapping[str, str], device: DeviceName) -> tuple[Case, Case]:
    """The network with the papers' strides, and with timm's strides."""
    variant = Variant(line["module"], "global" if line["extent"] else None)
    backbones = (line["backbone"] + PAPERS_STRIDES, line["backbone"])
    papers, timms = (
        Case(variant, _image(224), device=device, network=Network(name)) for name in backbones
    )
    return papers, timms


def _compare_with_expected(
    line: Mapping[str, str], measured: Mapping[str, Row], device: DeviceName
) -> Comparison | None:
    papers, timms = _cases_of(line, device)
    if papers.id not in measured or timms.id not in measured:
        return None
    row, other = measured[papers.id], measured[timms.id]
    with_statistics = (row.params or 0) + (row.buffers or 0)
    found = {
        "learnable": f"{row.params}",
        "with_statistics_m": f"{with_statistics / 1e6:.3f}",
        "macs_g": f"{(row.macs or 0) / 1e9:.4f}",
        "fvcore_g": f"{(other.macs_fvcore or 0) / 1e9:.4f}",
    }
    return Comparison(
        model=papers.id.partition("/")[0],
        source="derived from the official prototxts (github.com/hujie-frank/GENet) and code",
        provenance="read",
        convention="learnable; with BatchNorm's statistics; conv + fc MACs, the papers' strides; "
        "fvcore's total, timm's strides",
        case_id=papers.id,
        figures=tuple(
            Figure(name, shown, line[name], "match" if shown == line[name] else "differs")
            for name, shown in found.items()
        ),
    )


def _counted_at(row: Published) -> int:
    """The side of the images for which the row prints GFLOPs; 224 for a row of another crop."""
    return 224 if row.crop > 224 else row.crop


def _image(side: int) -> Shape:
    return Shape(1, 3, side, side)
