"""run.json as a type: the request, the machine, and how the run ended. One reader, one writer.

The schema of run.json and of the table beside it, by version:
1  the first.
2  whole networks: the columns backbone and place.
3  the column arguments; in the samples first_call_s and device_s; in run.json `suite.anchor` is
   `suite.baseline`, `suite.axes` holds the values of each axis, and `warnings` names what disturbed
   the run instead of advising.
A column that the table of an older schema lacks is empty, and its unknown keys are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen

from attn_bench.model.axes import DeviceName, DType
from attn_bench.model.environment import Disturbance, Environment, find_disturbances
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RunRequest, check_request
from attn_bench.model.run import CheckAnswer, Needs, Rates, SelfcheckRates, Settings
from attn_bench.model.suite import Suite
from attn_bench.store.files import write_atomically
from attn_bench.store.reading import parse_json, read_bytes, read_record

SCHEMA = 3
READABLE = (1, 2, 3)
FILE = "run.json"
DROPPED = "source_hashes"  # of early runs of schema 3: digests by case
State = Literal["measuring", "finished", "interrupted", "broken off"]
Share = Annotated[float, Ge(0), Le(2)]  # clocks differ
Moment = Annotated[str, MaxLen(40)]
Kind = Literal["run", "check", "selfcheck"]
AXES_BEFORE_3 = {
    "dtypes": "dtype",
    "memory_formats": "memory_format",
    "modes": "mode",
    "executions": "execution",
}


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """All of run.json.

    schema: the schema of the file that it was read from.
    suite: the suite as it was run.
    against: the git commit that a check compares with.
    sources: the digest of each module that the measured code consists of, by its name.
    code: one hash of `sources`.
    kind: the command; a check contains two versions of each case.
    start, end: in UTC, ISO 8601.
    calling_share: the share of the measuring time that was spent calling modules.
    rates: the rates of this machine, by dtype.
    uncounted_operators, operations, notes: by case.
    selfcheck, check: the results of such a run.
    needs: the budget and sessions for the precision that was asked for.
    baseline_software: the software of `--against-python`.
    """

    suite: Suite
    settings: Settings
    environment: Environment
    schema: int = SCHEMA
    kind: Kind = "run"
    command: tuple[str, ...] = ()
    request: RunRequest | None = None
    against: str | None = None
    code: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    start: Moment | None = None
    end: Moment | None = None
    state: State = "measuring"
    warnings: tuple[Disturbance, ...] = ()
    calling_share: Share | None = None
    rates: Mapping[DType, Rates] = field(default_factory=dict)
    uncounted_operators: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    operations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    selfcheck: SelfcheckRates | None = None
    check: CheckAnswer | None = None
    baseline_software: Mapping[str, str] | None = None
    needs: Needs | None = None

    @property
    def device(self) -> DeviceName:
        return self.environment.device


def write(folder: Path, info: RunInfo) -> None:
    """Write `info` as run.json of `folder`. Raises OSError."""
    text = json.dumps({**asdict(info), "schema": SCHEMA}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / FILE, text.encode(errors="backslashreplace"))


def read(folder: Path) -> RunInfo:
    """Read run.json of `folder`, in any READABLE schema.

    Raises RequestError, with the file and the place in it, if it is damaged.
    """
    file = folder / FILE
    content = read_bytes(file)
    try:
        raw = parse_json(content)
    except RequestError as error:
        raise RequestError(f"{file}: {error}") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema not in READABLE:
        raise RequestError(
            f"{file}: schema {schema!r}, but this version reads {READABLE[0]} to {SCHEMA}"
        )
    try:
        # A key that this schema does not have means nothing here.
        info = read_record(_upgrade(raw), RunInfo, whole=schema == SCHEMA)
        if info.request is not None:
            check_request(info.request)
        return info
    except RequestError as error:
        raise RequestError(f"{file}: {error}") from None


def _upgrade(raw: dict[str, Any]) -> dict[str, Any]:
    """`raw` in schema 3. The number stays, because it tells which columns the table has."""
    if raw["schema"] == SCHEMA:
        return {key: value for key, value in raw.items() if key != DROPPED}
    suite, environment = raw.get("suite"), raw.get("environment")
    if isinstance(suite, dict):
        suite = dict(suite)
        suite["baseline"] = suite.pop("anchor", "")
        suite["axes"] = {new: suite.pop(old) for old, new in AXES_BEFORE_3.items() if old in suite}
    found = {**raw, "suite": suite, "kind": raw.get("kind") or "run", "warnings": ()}
    if isinstance(environment, dict):
        found["warnings"] = find_disturbances(read_record(environment, Environment))
    return found
