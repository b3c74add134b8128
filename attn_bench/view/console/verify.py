"""`verify` on the console: a row for each variant, a column for each check, then the reasons."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from attn_bench.jobs.verify import VerifiedVariant
from attn_bench.model import units
from attn_bench.model.checks import CHECKS, Check, Checked, CheckVerdict
from attn_bench.view import remarks
from attn_bench.view.console.plain import line, width_of
from attn_bench.view.console.terminal import open_stdout
from attn_bench.view.markup import escape

Sign = CheckVerdict | Literal["follows"]  # a failure that another one explains
SIGNS: Mapping[Sign, str] = {
    "passed": "✓",
    "failed": "✗",
    "not_applicable": "–",
    "lost": "!",
    "follows": "↳",
}
PLAIN_SIGNS: Mapping[Sign, str] = {
    "passed": "+",
    "failed": "x",
    "not_applicable": "-",
    "lost": "!",
    "follows": ">",
}
SIGN_COLOURS: Mapping[Sign, str] = {
    "passed": "green",
    "failed": "bold red",
    "not_applicable": "dim",
    "lost": "bold red",
    "follows": "red",
}
BAR, PLAIN_BAR = "│", "|"
WORST_FIRST: tuple[CheckVerdict, ...] = ("failed", "lost", "passed", "not_applicable")


def show(rows: Sequence[VerifiedVariant]) -> None:
    """Show the matrix, every reason once, and the counts."""
    if not rows:
        line("no variant was verified")
        return
    _show_matrix(rows)
    line("")
    _show_reasons(rows)
    verdicts = [{result.verdict for result in row.checked.values()} for row in rows]
    failed = sum("failed" in found for found in verdicts)
    lost = sum("lost" in found for found in verdicts)
    line(
        f"{units.number(len(rows), 'variant')}: {failed} failed a check, {lost} could not be "
        "checked completely."
    )


def _show_matrix(rows: Sequence[VerifiedVariant]) -> None:
    """Show the matrix. The names of the columns form stairs, so that they fit in full."""
    signs, bar = _choose_signs()
    width = max(width_of(row.variant.label) for row in rows)
    checks = [check for check in CHECKS if any(check in row.checked for row in rows)]
    for index, check in enumerate(checks):
        line(f"{'':{width}}  {f'{bar} ' * index}{check}")
    console = open_stdout()
    for row in rows:
        cells = [_mark(row.checked.get(check), signs) for check in checks]
        label = row.variant.label + " " * (width - width_of(row.variant.label))
        console.print(f"{escape(label)}  {' '.join(cells)}".rstrip())
    found = {_sign(result) for row in rows for result in row.checked.values()}
    key = [f"{sign} {_name(verdict)}" for verdict, sign in signs.items() if verdict in found]
    line("")
    line(", ".join(key))


def _sign(checked: Checked) -> Sign:
    return "follows" if checked.follows else checked.verdict


def _name(sign: Sign) -> str:
    return "follows from another failure" if sign == "follows" else sign.replace("_", " ")


def _choose_signs() -> tuple[Mapping[Sign, str], str]:
    """The signs that standard output can encode, and the bar between columns."""
    try:
        "".join([*SIGNS.values(), BAR]).encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return PLAIN_SIGNS, PLAIN_BAR
    return SIGNS, BAR


def _mark(checked: Checked | None, signs: Mapping[Sign, str]) -> str:
    if checked is None:
        return " "
    sign = _sign(checked)
    return f"[{SIGN_COLOURS[sign]}]{signs[sign]}[/]"


def _show_reasons(rows: Sequence[VerifiedVariant]) -> None:
    """Show every reason once, with its variants or their number."""
    for (verdict, check, reason), labels in _group_reasons(rows).items():
        title = "note" if verdict == "passed" else _name(verdict)
        line(f"{title}: {check}: {reason.removeprefix(f'{check}: ')}")
        name_all = verdict in ("failed", "lost") or len(labels) <= remarks.FEW
        for label in labels if name_all else [f"{len(labels)} variants"]:
            line(f"    {label}")


def _group_reasons(
    rows: Sequence[VerifiedVariant],
) -> dict[tuple[CheckVerdict, Check, str], list[str]]:
    """Every reason with its variants; faults come first."""
    found: dict[tuple[CheckVerdict, Check, str], list[str]] = defaultdict(list)
    for row in rows:
        for check, result in row.checked.items():
            if result.reason is not None and result.follows is None:
                label = row.variant.label + _followers(row, check)
                found[result.verdict, check, result.reason].append(label)
    return dict(sorted(found.items(), key=lambda item: WORST_FIRST.index(item[0][0])))


def _followers(row: VerifiedVariant, cause: Check) -> str:
    """The checks of the variant that fail for the same cause."""
    names = [check for check, result in row.checked.items() if result.follows == cause]
    return f" (and so {', '.join(names)})" if names else ""
