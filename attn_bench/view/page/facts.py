"""The facts of run.json about a run and its machine, in human units, under headings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from attn_bench.model import units
from attn_bench.model.run import Rates
from attn_bench.store.info import RunInfo

# By the end of a name: how its value is shown, and what is left of the name.
ENDINGS: Mapping[str, Callable[[Any], str]] = {
    "_bytes": units.bytes_,
    "_share": units.percent,
    "_drift": units.percent,
    "_s": units.seconds,
    "_w": lambda value: f"{value:g} W",
    "precision": units.percent,
}
# Names that would not be understood.
NAMES = {
    "cores_usable": "cores that this process may use",
    "cores_logical": "logical cores",
    "cores_physical": "physical cores",
    "load": "load average of the last minute",
    "other_load_cores": "cores that other work used",
    "other_cores_at_start": "cores that other work used at the start",
    "precision": "wanted precision ±",
}


def list_facts(info: RunInfo) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The facts under their headings; a heading without facts is left out."""
    environment = asdict(info.environment)
    nested = {name: value for name, value in environment.items() if isinstance(value, dict)}
    flat = {name: value for name, value in environment.items() if name not in nested}
    run = {name: getattr(info, name) for name in ("start", "end", "state", "calling_share")}
    run["command"] = " ".join(info.command)
    rates = {
        f"{dtype} {name}": value
        for dtype, measured in info.rates.items()
        for name, value in _rates(measured).items()
    }
    uncounted = {
        name: "an operator without a count"
        for operators in info.uncounted_operators.values()
        for name in operators
    }
    sections = {
        "Run": run,
        "Settings": asdict(info.settings),
        "Machine": flat,
        **{name.replace("_", " ").capitalize(): value for name, value in nested.items()},
        "Rates measured for the bound": rates,
        "Not counted": uncounted,
        "Notes": {note: "" for many in info.notes.values() for note in many},
    }
    for heading, values in sections.items():
        known = {name: value for name, value in values.items() if value not in (None, (), [])}
        if known:
            yield heading, [_fact(str(name), value) for name, value in known.items()]


def _fact(name: str, value: Any) -> tuple[str, str]:
    """The name and the value of a fact, as people read them.

    >>> _fact("memory_bytes", 25_276_502_016), _fact("git_dirty", False)
    (('memory', '25.3 GB'), ('git dirty', 'no'))
    """
    if isinstance(value, bool):
        return NAMES.get(name, name.replace("_", " ")), "yes" if value else "no"
    if isinstance(value, list | tuple):
        return name.replace("_", " "), ", ".join(map(str, value))
    ending = next((end for end in ENDINGS if name.endswith(end)), None)
    if ending is None or not isinstance(value, int | float):
        return NAMES.get(name, name.replace("_", " ")), units.plain(value)
    left = NAMES.get(name, name.removesuffix(ending).replace("_", " "))
    return left or name, ENDINGS[ending](value)


def _rates(measured: Rates) -> dict[str, str]:
    copies = {
        f"copy of {units.bytes_(size)}": f"{units.bytes_(rate)}/s" for size, rate in measured.copy
    }
    return {**copies, "matrix product": f"{units.count(measured.macs_per_s)} MACs/s"}
