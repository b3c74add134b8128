"""The words around the tables of a run: its machine, what is missing, how far to trust it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from attn_bench.model import units
from attn_bench.model.case import PLAIN
from attn_bench.model.row import Row

FEW = 4  # cases with one and the same reason are named one by one up to so many


def below(rows: Sequence[Row], info: Mapping[str, Any]) -> list[str]:
    """What could not be measured, how precise the ratios are, what the time went into."""
    found = _reasons(rows)
    if info["suite"].get("timed", True):
        found += _precision(rows, info["suite"]["baseline"], info["settings"]["precision"])
    share = info.get("calling_share")
    if share is not None:
        found.append(f"{units.percent(share)} of the measuring time went into calling modules.")
    return found


def warnings(info: Mapping[str, Any]) -> list[str]:
    """What disturbed the run, each with what to do about it."""
    cut = f"the run was {info['state']}: the table holds what was measured until then"
    return [*([] if info["state"] == "finished" else [cut]), *info["warnings"]]


def machine(info: Mapping[str, Any]) -> str:
    environment = info["environment"]
    cpu = f"{environment['cpu']}, {units.number(environment['threads'], 'thread')}"
    device = environment["device_facts"].get("gpu") or cpu
    return f"{device}; torch {environment['software'].get('torch')}"


def _reasons(rows: Sequence[Row]) -> list[str]:
    """The cases without figures, one by one, or counted where many have the same reason."""
    alike: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.status != "ok":
            alike[row.status, row.error or ""].append(row)
    found = []
    for (status, reason), members in alike.items():
        if len(members) > FEW:
            found.append(f"{status}: {len(members)} cases: {reason}")
        else:
            found += [f"{status}: {row.case_id}: {reason}" for row in members]
    return found


def _precision(rows: Sequence[Row], baseline: str, wanted: float) -> list[str]:
    """How many ratios are as precise as was asked; the baseline's own is no achievement."""
    measured = [row for row in rows if row.status == "ok" and row.variant not in (baseline, PLAIN)]
    found = [row.interval("ratio") for row in measured]
    ratios = [ratio for ratio in found if ratio is not None]
    reached = [ratio for ratio in ratios if ratio.half_width <= wanted * ratio.value]
    if not ratios:
        return ["No ratio could be had."] if measured else []
    if len(reached) == len(measured):
        return [f"Every ratio is known to ± {units.percent(wanted)} or better."]
    if not reached:
        widest = max(ratio.half_width / ratio.value for ratio in ratios)
        return [
            f"No ratio is known to ± {units.percent(wanted)} yet, all to ± {units.percent(widest)} "
            "or better: a larger --budget narrows them."
        ]
    widest = max(ratio.half_width / ratio.value for ratio in ratios)
    return [
        f"{len(reached)} of {len(measured)} ratios are known to ± {units.percent(wanted)}, the "
        f"others to ± {units.percent(widest)} or better: a larger --budget narrows them."
    ]
