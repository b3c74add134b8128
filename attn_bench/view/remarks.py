"""The remarks around the tables of a run: machine, missing cases, precision, warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from attn_bench.model import units
from attn_bench.model.case import BASELINE, PLAIN
from attn_bench.model.row import Row
from attn_bench.model.run import QUIET, Needs, Settings
from attn_bench.model.status import COUNTED
from attn_bench.store.info import RunInfo
from attn_bench.view.advice import advise

ONE_SESSION = (
    "One session does not tell how processes differ: ± 22 % is assumed for latencies, and ± 4 % "
    "for ratios. Use --sessions 3 or more."
)
MOST_NOTES = 8
FEW = 4  # up to this number, cases with the same reason are named; more are counted


def list_remarks(rows: Sequence[Row], info: RunInfo) -> list[str]:
    """Remarks on unmeasured cases, on the precision of the ratios, and on the use of time."""
    found = _list_reasons(rows)
    if info.suite.timed:
        found += _describe_precision(rows, name_baseline(rows, info), info)
    share = info.calling_share
    if info.suite.timed and info.settings.sessions == 1:
        found.append(ONE_SESSION)
    if share is not None:
        found.append(f"{units.percent(share)} of the measuring time was spent calling modules.")
    return found


def list_notes(rows: Sequence[Row], info: RunInfo) -> list[str]:
    """What a run noted on its cases, for people: each note once, with the variants it is about.

    What concerns later versions (QUIET) is left out.
    """
    about: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for note in info.notes.get(row.case_id, ()):
            if not note.startswith(QUIET) and row.variant not in about[note]:
                about[note].append(row.variant)
    shown = list(about.items())[:MOST_NOTES]
    found = [f"note: {', '.join(labels[:FEW])}: {note}" for note, labels in shown if labels]
    more = len(about) - len(shown)
    return [*found, f"{units.number(more, 'more note')} in run.json"] if more else found


def name_baseline(rows: Sequence[Row], info: RunInfo) -> str:
    """What the ratios of a run are to: a module, or, in a check of two versions, "@base"."""
    has_versions = any(row.module.endswith(BASELINE) for row in rows)
    return BASELINE if has_versions else info.suite.baseline


def list_warnings(info: RunInfo) -> list[str]:
    """The disturbances of the run, with advice."""
    cut = f"the run was {info.state}: the table contains what was measured before"
    found = advise(info.environment, info.warnings)
    return found if info.state == "finished" else [cut, *found]


def name_machine(info: RunInfo) -> str:
    seen = info.environment
    cpu = f"{seen.cpu}, {units.number(seen.threads or 0, 'thread')}"
    if seen.pages == "huge" and seen.huge_pages in ("always", "madvise"):
        cpu += ", huge pages"
    device = seen.device_facts.get("gpu") or cpu
    return f"{device}; torch {seen.software.get('torch')}"


def _list_reasons(rows: Sequence[Row]) -> list[str]:
    """The cases whose status is not ok: each one, or their number if many have the same reason."""
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


def _describe_precision(rows: Sequence[Row], baseline: str, info: RunInfo) -> list[str]:
    """The number of ratios that are as precise as requested, without the baseline's own."""
    precision = info.settings.precision
    measured = [
        row
        for row in rows
        if row.status in COUNTED
        and row.variant not in (baseline, PLAIN)
        and not row.module.endswith(BASELINE)
    ]
    found = [row.interval("ratio") for row in measured]
    ratios = [ratio for ratio in found if ratio is not None]
    reached = [ratio for ratio in ratios if ratio.half_width <= precision * ratio.value]
    if not ratios:
        none = ["No ratio is known well enough to be shown."] if measured else []
        needs = [] if "other_load" in info.warnings else describe_needs(info.needs, info.settings)
        return [*none, *needs]
    if len(reached) == len(measured):
        return [f"Every ratio is known to ± {units.percent(precision)} or better."]
    widest = max(ratio.half_width / ratio.value for ratio in ratios)
    shown = " that are shown" if len(ratios) < len(measured) else ""
    if reached:
        words = (
            f"{len(reached)} of {len(measured)} ratios are known to ± {units.percent(precision)}; "
            f"the others{shown} are known to ± {units.percent(widest)} or better."
        )
    else:
        words = (
            f"No ratio is known to ± {units.percent(precision)}; all{shown} are known to "
            f"± {units.percent(widest)} or better."
        )
    return [words, *describe_needs(info.needs, info.settings)]


def describe_needs(needs: Needs | None, settings: Settings) -> list[str]:
    """The budget and the sessions that more precise ratios need."""
    if needs is None:
        return []
    options = [f"--budget {units.round_up(needs.budget_s)}"]
    if needs.sessions > settings.sessions:
        options.append(f"--sessions {needs.sessions}")
    return [
        f"For nine of ten ratios at ± {units.percent(needs.precision)}, use {' '.join(options)}."
    ]
