"""`selfcheck` on the console: the error rates of the tool on this machine."""

from __future__ import annotations

from attn_bench.model import units
from attn_bench.model.metrics import Interval
from attn_bench.model.run import HitRate, SelfcheckRates
from attn_bench.store.info import RunInfo
from attn_bench.view.console.plain import line, print_aligned
from attn_bench.view.console.terminal import warn
from attn_bench.view.remarks import list_warnings


def show(info: RunInfo) -> None:
    """Show the rates, and what disturbed the trials."""
    if info.selfcheck is None:
        line("no trial was complete: use more --minutes")
    else:
        _show_rates(info.selfcheck)
    for words in list_warnings(info):
        warn(words)


def _show_rates(found: SelfcheckRates) -> None:
    lines = [("identical variants called different", _rate(found.false_alarms))]
    lines += [
        (f"a real slowdown of {percent} % called slower", _rate(power))
        for percent, power in found.power.items()
    ]
    lines.append(("95 % intervals that contain the true ratio", _rate(found.coverage)))
    if (sharing := found.coverage_of_sharing) is not None:
        lines.append(("the same, of cases that share a baseline", _rate(sharing)))
    if (deviation := found.run_to_run_sd) is not None:
        lines.append(("ratios of unlike modules, from run to run", f"± {units.percent(deviation)}"))
    lines += [
        (
            f"smallest slowdown seen 9 times of 10 in {budget} s a case",
            f"{units.percent(v.value)}  ({_ends(v)})",
        )
        for budget, v in found.smallest_visible.items()
    ]
    print_aligned(lines)
    trials, cost = units.number(found.trials, "trial"), found.case_s
    line(f"{trials} of {cost:.1f} s a case; in brackets 95 % intervals")


def _rate(of: HitRate) -> str:
    return f"{of.hits} of {of.of}  ({_ends(of)})"


def _ends(interval: HitRate | Interval) -> str:
    return f"{units.percent(interval.lo)} … {units.percent(interval.hi)}"
