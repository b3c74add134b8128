"""The devices of a fleet as one HTML page: what differs between them, then all ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, log

from attn_bench.analysis.fleet import FALSE_CHANGES, OrderChange, name_of, subject_of
from attn_bench.analysis.sick import Sick
from attn_bench.jobs.fleet.atlas import COMPARED, Atlas, Device
from attn_bench.model import units
from attn_bench.model.case import PLAIN
from attn_bench.model.fleet import Shard
from attn_bench.model.metrics import Interval
from attn_bench.model.row import Row
from attn_bench.model.status import COUNTED, FAULTS
from attn_bench.model.suite import USUAL_BASELINE
from attn_bench.view import remarks
from attn_bench.view.crossed.table import show_ratio
from attn_bench.view.page import cost_against_gain
from attn_bench.view.page.drawing import Picture
from attn_bench.view.page.points import NONE
from attn_bench.view.page.template import draw_panels, fill

MOST_CHANGES = 30
NO_BREAK = "\u00a0"  # a space at which no line ends
MOST_NAMED = 3
ABOUT_CHANGES = (
    "Two modules whose order on one device is certainly not that on another. Beside each device is "
    "how many times as long the slower one takes there, with its 95 % interval. Of all changes "
    f"between two devices, at most {units.percent(FALSE_CHANGES)} are expected to be false; the "
    "last column is that share among the changes that are at least as certain. The clearest comes "
    "first."
)
ABOUT_AGREEMENT = (
    "Kendall's tau over the pairs of modules at the same shape or in the same network: 1 if two "
    "devices have all of them in the same order, 0 if their orders are unrelated, -1 if they are "
    "opposite. In brackets is its 95 % interval, from the errors of the ratios."
)
ABOUT_RATIOS = (
    "Each figure is a ratio on one host, with its 95 % interval: to {baseline}, and to "
    f"{COMPARED}. Compare figures within a column; between columns compare their order."
)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table in words."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """The tables of one shape or network."""

    title: str
    tables: tuple[Grid, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """Two modules whose order changes.

    one_on: the devices on which `one` is faster, and how many times as long `other` takes there.
    other_on: the devices on which `other` is faster, likewise.
    risks: of the changes between two of these devices.
    """

    subject: str
    one: str
    other: str
    one_on: dict[str, Interval] = field(default_factory=dict)
    other_on: dict[str, Interval] = field(default_factory=dict)
    risks: list[float] = field(default_factory=list)


def render(atlas: Atlas, picture: Picture, data: str) -> str:
    """The page as one text, which loads no other file.

    data: the name of the file with the rows.
    """
    suite = atlas.fleet.plan.suite
    changes = group_changes(atlas.changes)
    disturbances = [(d.name, remarks.list_warnings(d.shard.info)) for d in atlas.devices]
    return fill(
        "atlas.html",
        title=suite.title,
        suite=suite.name,
        sentences=list(_summarise(atlas, changes)),
        warnings=[*map(tell_sick, atlas.sick), *_list_missing(atlas)],
        devices=_list_devices(atlas),
        disturbances=[(name, lines) for name, lines in disturbances if lines],
        changes=_list_changes(changes),
        about_changes=ABOUT_CHANGES,
        agreement=_list_agreements(atlas) if atlas.agreements else None,
        about_agreement=ABOUT_AGREEMENT,
        subjects=list(_list_subjects(atlas)),
        about_ratios=ABOUT_RATIOS.format(baseline=_in_words(atlas.baseline)),
        picture=picture,
        panels=draw_panels(picture),
        data=data,
    )


def make_picture(atlas: Atlas, own: Mapping[str, float] = NONE) -> Picture:
    """Measured cost against published gain, with panels for each device.

    own: gains that the author of modules measured, by variant.
    """
    pictures = [
        cost_against_gain.make_picture(device.rows, atlas.baseline, own) for device in atlas.devices
    ]
    panels = [
        replace(panel, title=f"{panel.title} · {device.name}")
        for device, picture in zip(atlas.devices, pictures, strict=True)
        for panel in picture.panels
    ]
    first = next((picture for picture in pictures if picture.panels), pictures[0])
    return replace(first, panels=panels)


# --- sentences ------------------------------------------------------------------------------------


def _summarise(atlas: Atlas, changes: Sequence[Changed]) -> Iterator[str]:
    names = [device.name for device in atlas.devices]
    listed = units.listing(names) if len(names) <= MOST_NAMED else ""
    cases = max(len(device.rows) for device in atlas.devices)
    of = f": {listed}" if listed else ""
    yield f"{units.number(cases, 'case')} on {units.number(len(names), 'device')}{of}."
    if not atlas.agreements:
        return
    if not changes:
        yield "No change in the order of modules between two devices is certain."
    else:
        first, is_one = changes[0], len(changes) == 1
        yield (
            f"{'One pair' if is_one else f'{len(changes)} pairs'} of modules certainly "
            f"{'changes' if is_one else 'change'} order between devices. The clearest: at "
            f"{first.subject}, {first.one} is faster than {first.other} on "
            f"{next(iter(first.one_on))}, and slower on {next(iter(first.other_on))}."
        )
    least = min(atlas.agreements, key=lambda agreement: agreement.tau.value)
    yield (
        f"The orders agree least between {least.here} and {least.there}: tau "
        f"{units.coefficient(least.tau.times(1))}."
    )


def tell_sick(sick: Sick) -> str:
    """A sentence on a host that differs from its kind.

    >>> tell_sick(Sick("A100", ("A100, n1",), "noise", 4.2, 15))
    'A100, n1: its intervals are 4.2 times as wide as those of its kind, over 15 cases.'
    """
    if sick.sign == "noise":
        factor = f"{units.significant(sick.factor, 2)} times as wide"
        if len(sick.hosts) == 1:
            words = f"its intervals are {factor} as those of its kind"
        else:
            words = f"the intervals of one are {factor} as those of the other"
    else:
        change = units.percent(sick.factor - 1)
        if len(sick.hosts) == 1:
            words = f"its ratios are {change} from those of its kind"
        else:
            words = f"their ratios differ by {change}"
    which = "; which of the two is sick is unknown" if len(sick.hosts) > 1 else ""
    cases = f"over {units.number(sick.cases, 'case')}"
    return f"{units.listing(list(sick.hosts))}: {words}, {cases}{which}."


def _list_missing(atlas: Atlas) -> Iterator[str]:
    """Sentences on what the atlas lacks."""
    for name in atlas.fleet.missing:
        yield f"{name}: no host with this device has begun."
    for shard in atlas.fleet.unfinished:
        yield f"{shard.device}: not measured yet ({shard.state}, {_progress(shard)})."
    for shard, reason in atlas.fleet.damaged:
        yield f"{shard.device}: cannot be read: {reason}."
    for device in atlas.devices:
        if failed := sum(row.status in FAULTS for row in device.rows):
            yield f"{device.name}: {units.number(failed, 'case')} could not be measured."
        if device.is_busy:
            yield f"{device.name}: was too busy for valid times; `work --again` measures it again."


def _progress(shard: Shard) -> str:
    return f"{shard.done} of {units.number(shard.total, 'case')}"


# --- tables ---------------------------------------------------------------------------------------


def _list_devices(atlas: Atlas) -> Grid:
    lines = []
    for device in atlas.devices:
        rows, info = device.rows, device.shard.info
        known = sum(row.status in COUNTED for row in rows)
        lines.append(
            (
                device.name,
                device.shard.shard.host,
                remarks.name_machine(info),
                f"{known} of {len(rows)}",
                (info.start or "")[:16].replace("T", " "),
            )
        )
    return Grid("Devices", ("device", "host", "machine", "cases", "measured, UTC"), tuple(lines))


def group_changes(changes: Sequence[OrderChange]) -> list[Changed]:
    """A line for each pair of modules; those first whose order is clearest on two devices."""
    ordered = sorted(changes, key=_lead, reverse=True)
    found: dict[tuple[str, frozenset[str]], Changed] = {}
    for each in ordered:
        pair = each.subject, frozenset((each.faster, each.slower))
        line = found.setdefault(pair, Changed(each.subject, each.faster, each.slower))
        is_same = each.faster == line.one
        here, there = (line.one_on, line.other_on)[:: 1 if is_same else -1]
        here[each.here] = each.here_ratio
        there[each.there] = _inverse(each.there_ratio)
        line.risks.append(each.risk)
    return list(found.values())


def _lead(change: OrderChange) -> float:
    """The smaller of the factors, as a logarithm, at the end of its interval that is nearer 1."""
    return min(log(change.here_ratio.lo), -log(change.there_ratio.hi))


def _list_changes(lines: Sequence[Changed]) -> Grid:
    shown = lines[:MOST_CHANGES]
    cut = f", the first {len(shown)} of {len(lines)}" if len(shown) < len(lines) else ""
    return Grid(
        f"Changes of order{cut}",
        ("modules", "at", "the first is faster on", "the second is faster on", "false"),
        tuple(
            (
                f"{each.one}, {each.other}",
                each.subject,
                _list_factors(each.one_on),
                _list_factors(each.other_on),
                units.risk(max(each.risks)),
            )
            for each in shown
        ),
    )


def _list_factors(ratios: Mapping[str, Interval]) -> str:
    figures = {name: f"{units.with_interval(r.times(1))} ×" for name, r in ratios.items()}
    return "\n".join(f"{figure.replace(' ', NO_BREAK)} {name}" for name, figure in figures.items())


def _list_agreements(atlas: Atlas) -> Grid:
    """A line and a column for each device."""
    names = [device.name for device in atlas.devices]
    taus = {(each.here, each.there): each.tau for each in atlas.agreements}
    lines = []
    for at, there in enumerate(names[1:], start=1):
        known = [taus.get((here, there)) for here in names[:at]]
        cells = [units.coefficient(tau.times(1)) if tau else units.UNKNOWN for tau in known]
        lines.append((there, *cells, *[""] * (len(names) - 1 - at)))
    return Grid("Rank agreement", ("device", *names[:-1]), tuple(lines))


def _list_subjects(atlas: Atlas) -> Iterator[Subject]:
    """The tables of each shape or network: ratios to the baseline, and to COMPARED."""
    found: dict[str, dict[str, dict[str, Row]]] = {}
    for device in atlas.devices:
        for row in device.rows:
            if row.variant not in (atlas.baseline, PLAIN):
                modules = found.setdefault(subject_of(row), {})
                modules.setdefault(name_of(row), {})[device.name] = row
    for title, modules in found.items():
        is_network = any(row.backbone for rows in modules.values() for row in rows.values())
        to = "latency added to the plain network" if is_network else f"× {atlas.baseline}"
        tables = [_make_grid(atlas, to, modules, _to_baseline)]
        if COMPARED in modules and atlas.baseline != COMPARED and len(modules) > 1:
            others = {name: rows for name, rows in modules.items() if name != COMPARED}
            tables.append(_make_grid(atlas, f"× {COMPARED}", others, _to_compared))
        yield Subject(title, tuple(tables))


def _make_grid(
    atlas: Atlas,
    title: str,
    modules: Mapping[str, Mapping[str, Row]],
    show: Callable[[Device, Row], str],
) -> Grid:
    """A line for each module, a column for each device; the first device's order is kept."""
    lines = []
    for name, rows in sorted(modules.items(), key=lambda each: _order(atlas, each[1])):
        cells = []
        for device in atlas.devices:
            row = rows.get(device.name)
            cells.append(units.UNKNOWN if row is None else show(device, row))
        lines.append((name, *cells))
    return Grid(title, ("module", *(device.name for device in atlas.devices)), tuple(lines))


def _order(atlas: Atlas, rows: Mapping[str, Row]) -> float:
    """The ratio on the first device that knows it; what none knows comes last."""
    ratios = (rows[d.name].ratio for d in atlas.devices if d.name in rows)
    return next((ratio for ratio in ratios if ratio is not None), inf)


def _to_baseline(_: Device, row: Row) -> str:
    return show_ratio(row) if row.status in COUNTED else row.status


def _to_compared(device: Device, row: Row) -> str:
    if row.status not in COUNTED:
        return row.status
    ratio = device.over_compared(row)
    return units.with_interval(ratio.interval.times(1) if ratio else None)


def _inverse(ratio: Interval) -> Interval:
    return Interval(1 / ratio.value, 1 / ratio.hi, 1 / ratio.lo)


def _in_words(baseline: str) -> str:
    return "a copy of the input" if baseline == USUAL_BASELINE else baseline
