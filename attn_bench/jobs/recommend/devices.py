"""Recommends one module for all devices of a fleet, and the best for each, from stored rows.

Nothing is measured. A limit is relative to the plain network on the same host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from attn_bench.analysis.fleet import subject_of
from attn_bench.jobs.fleet.atlas import Device, list_devices
from attn_bench.jobs.recommend.answer import USUAL_SUITE
from attn_bench.jobs.recommend.choice import Candidate, Choice, choose, pick
from attn_bench.jobs.recommend.limits import Limit, worst
from attn_bench.model.case import PLAIN
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.row import Row
from attn_bench.model.status import FAULTS, Exit
from attn_bench.store.fleet import Fleet

ALL = "all"


@dataclass(frozen=True, slots=True)
class DevicesRequest:
    """What to choose for.

    store: for messages, without credentials.
    devices: globs on the names of devices, separated by commas; or ALL.
    backbone: None takes every network of the suite.
    """

    store: str
    limits: tuple[Limit, ...] = ()
    devices: str = ALL
    backbone: str | None = None
    modules: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class DevicesAnswer:
    """A choice for several devices.

    subject: the network, its images and its unusual conditions.
    by_device: the choice for each device alone.
    joint: the choice for all. Each candidate has the row of the device on which it costs most, and
        fits if it does on all of them.
    unfinished: devices that are not measured yet.
    """

    subject: str
    by_device: Mapping[str, Choice]
    joint: Choice
    unfinished: tuple[str, ...]
    exit_status: Exit

    def find(self, device: str, label: str) -> Candidate | None:
        return next((c for c in self.by_device[device].candidates if c.label == label), None)

    def costs_most_on(self, candidate: Candidate) -> str:
        """The device of the row that a joint candidate has."""
        return next(
            name
            for name, choice in self.by_device.items()
            if any(other.row is candidate.row for other in choice.candidates)
        )


def recommend_for_devices(fleet: Fleet, question: DevicesRequest) -> list[DevicesAnswer]:
    """An answer for each network of the suite. Raises RequestError if it has none."""
    known = list_devices(fleet, question.store, question.modules, question.where)
    devices = _select(known, question)
    subjects: dict[str, dict[str, list[Row]]] = {}
    for device in devices:
        for row in device.rows:
            if row.backbone and question.backbone in (None, row.backbone):
                subjects.setdefault(subject_of(row), {}).setdefault(device.name, []).append(row)
    if not subjects:
        raise RequestError(_explain(fleet, question))
    damaged = (f"{shard.device} (its shard is damaged)" for shard, _ in fleet.damaged)
    unfinished = (*(shard.device for shard in fleet.unfinished), *damaged, *fleet.missing)
    if question.devices != ALL:
        unfinished = ()
    return [
        _answer(subject, {d.name: rows.get(d.name, []) for d in devices}, question, unfinished)
        for subject, rows in subjects.items()
    ]


def _select(devices: Sequence[Device], question: DevicesRequest) -> list[Device]:
    if question.devices == ALL:
        return list(devices)
    globs = [glob.strip() for glob in question.devices.split(",")]
    names = [device.name for device in devices]
    for glob in globs:
        if not any(fnmatchcase(name.lower(), glob.lower()) for name in names):
            raise RequestError(f"--devices {glob!r}: no measured device{nearest(glob, names)}")
    return [d for d in devices if any(fnmatchcase(d.name.lower(), g.lower()) for g in globs)]


def _explain(fleet: Fleet, question: DevicesRequest) -> str:
    """Why no network is left."""
    suite = fleet.plan.suite
    if not suite.networks:
        return (
            f"{question.store}: its suite {suite.name!r} has no whole networks: measure a suite "
            f"with a backbone (attn-bench work STORE --suite {USUAL_SUITE})"
        )
    names = {network.backbone for network in suite.networks}
    wanted = question.backbone or ""
    return f"--backbone {wanted}: not measured in {question.store}{nearest(wanted, names)}"


def _answer(
    subject: str,
    rows: Mapping[str, Sequence[Row]],
    question: DevicesRequest,
    unfinished: tuple[str, ...],
) -> DevicesAnswer:
    choices = {name: _choose(each, question.limits) for name, each in rows.items()}
    labels = dict.fromkeys(c.label for choice in choices.values() for c in choice.candidates)
    joint = pick([_join(label, list(choices.values())) for label in labels], None, question.limits)
    borrowed = any(choice.of_other_backbone for choice in choices.values())
    joint = replace(joint, of_other_backbone=borrowed)
    return DevicesAnswer(
        subject, choices, joint, unfinished, _exit_status(joint, choices, unfinished)
    )


def _choose(rows: Sequence[Row], limits: tuple[Limit, ...]) -> Choice:
    baseline = next((row for row in rows if row.variant == PLAIN), None)
    return choose([row for row in rows if row.variant != PLAIN], baseline, limits)


def _join(label: str, choices: Sequence[Choice]) -> Candidate:
    """The candidate as the device has it on which it costs most; it fits if it fits on all."""
    found = [next((c for c in choice.candidates if c.label == label), None) for choice in choices]
    known = [candidate for candidate in found if candidate is not None]
    dearest = max(known, key=lambda candidate: candidate.row.ratio or 0.0)
    fits = worst("unknown" if candidate is None else candidate.fits for candidate in found)
    keeps = {
        limit: worst(candidate.keeps.get(limit, "unknown") for candidate in known)
        for limit in dearest.keeps
    }
    return replace(dearest, fits=fits, keeps=keeps)


def _exit_status(joint: Choice, choices: Mapping[str, Choice], unfinished: tuple[str, ...]) -> Exit:
    if joint.is_open:
        return Exit.UNDECIDED
    statuses = {c.row.status for choice in choices.values() for c in choice.candidates}
    is_whole = all(choice.candidates for choice in choices.values())
    if unfinished or not is_whole or statuses & {*FAULTS}:
        return Exit.NOT_MEASURED
    return Exit.GOOD if joint.chosen is not None else Exit.BAD_ANSWER
