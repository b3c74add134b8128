"""Shows what evil modules do to the figures of a good one, and whether the run reports it.

    python benchmarks/evil_modules.py [--only NAME …] [--budget S] [--every N] [--threads N]

Each file of benchmarks/evil/ is a correct module that also harms its process. For each, `run`
measures it beside `se` and a plain copy. The runs to compare with have an innocent module in its
place; one comes before each N evil ones, and one at the end. A figure of `se` agrees if its
interval overlaps with those of the innocent runs. Exact figures must be equal. An interval counts
although the run withholds its middle, as all runs do on a busy machine: use --threads 1 there.

The verdict on a module is one of
    unharmed           `se` has all its figures, and they agree
    said               they do not, but a row, a note or a warning of the run gives a reason
    HARMED IN SILENCE  they do not, and nothing does; a second run must confirm this
    LOST               `se` has no figure, and nothing but the spent budget is given as the reason
Only what no innocent run contains counts as a reason. That the evil module failed does not count.

Status 1: a module harmed `se` in silence, or `se` was lost. Status 4: else, one is undecided.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path

import psutil

from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import EXACT, METRIC, Interval
from attn_bench.model.row import Row
from attn_bench.model.status import Exit
from attn_bench.store import runs
from attn_bench.store.info import RunInfo

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "evil"
INNOCENT = "innocent"
SHARED = ("gate", "spinning")
EVILS = sorted(f.stem for f in FOLDER.glob("*.py") if f.stem not in (INNOCENT, *SHARED))
RUN_TIMEOUT_S = 150
QUIET_TIMEOUT_S = 5  # then a run begins although other programs are at work
QUIET_PERCENT = 25  # of the cores
VICTIM, COPY = "se", "identity"  # the baseline, too, is a victim
FIGURES = ("latency_us", "ratio")
# What a row says of a module that ended by itself, and what a run says of the machine.
OWN_END = re.compile(r"worker process|no answer within|the budget was spent|\(\w+\.py:\d+\)$")
OF_THE_MACHINE = ("warm_up_drift", "stolen_time", "crowded", "cpu_throttled")
WIDEST = 0.25  # half-width of an interval that can show that figures agree, as a fraction
UNHARMED, SAID, UNDECIDED = "unharmed", "said", "undecided"
HARMED, LOST = "HARMED IN SILENCE", "LOST"
HEADING = (
    f"{'beside':19}  {'latency µs of se':>16}{'':8}  {'its ratio':>14}{'':8}  exact  "
    f"{'evil row':13}  {'status':>6}  load"
)
SUITE = """
title = "An evil module beside a good one"
sessions = 3
precision = 0.5

[[grid]]
module = ["{evil}", "se"]

[shapes]
batch  = 4
stages = [[64, 28, 28]]
"""


@dataclass(frozen=True)
class Seen:
    """What a run shows, and what it says.

    exit: the exit status; None if the run was killed after RUN_TIMEOUT_S.
    rows: by module.
    said: sentences of rows, notes and warnings, without those on the end of the module itself.
    load: the load average of the last minute.
    """

    exit: int | None
    rows: dict[str, Row]
    said: tuple[str, ...] = ()
    load: float = 0.0

    @property
    def exact(self) -> tuple[object, ...]:
        """The exact figures of the victim."""
        return tuple(getattr(self.rows.get(VICTIM), name, None) for name in EXACT)

    @property
    def is_lost(self) -> bool:
        """Whether the victim has no figure because the time was spent, or the run broken off."""
        row = self.rows.get(VICTIM)
        return row is None or bool(row.error and OWN_END.search(row.error))

    def interval(self, figure: str) -> Interval | None:
        """A figure of the victim; None without one. A figure that is unclear has its ends alone."""
        row = self.rows.get(VICTIM)
        lo, hi = (getattr(row, str(end), None) for end in (METRIC[figure].lo, METRIC[figure].hi))
        if row is None or lo is None or hi is None:
            return None
        return row.interval(figure) or Interval((max(lo, 0.0) * hi) ** 0.5 or hi / 2, lo, hi)

    def shown(self, figure: str) -> str:
        found = self.interval(figure)
        return f"{found.value:.4g} ± {found.half_width:.2g}" if found else "-"


def reasons(rows: Iterable[Row], info: RunInfo) -> Iterator[str]:
    """The sentences of a run that may say that a figure is not the module's own."""
    for row in rows:
        is_imprecise = row.module not in (VICTIM, COPY) and row.status == "unclear"
        if row.error and not is_imprecise and not OWN_END.search(row.error):
            yield f"{row.module}: {row.error}"
    for notes in info.notes.values():
        yield from (note for note in notes if not note.startswith("warned: "))
    yield from (warning for warning in info.warnings if warning not in OF_THE_MACHINE)


def pooled(innocent: Sequence[Seen], figure: str) -> Interval | None:
    """The mean of a figure over the innocent runs, and the ends of all their intervals.

    Runs that do not know the figure to ± 25 % do not count; None if none does.
    """
    known = [seen for seen in innocent if is_precise(seen, figure)]
    found = [interval for seen in known if (interval := seen.interval(figure))]
    if not found:
        return None
    mean = exp(sum(log(each.value) for each in found) / len(found))
    return Interval(mean, min(each.lo for each in found), max(each.hi for each in found))


def agrees(seen: Seen, innocent: Sequence[Seen], figure: str) -> bool:
    """Whether the interval of a figure overlaps with those of the innocent runs."""
    alone, beside = pooled(innocent, figure), seen.interval(figure)
    return bool(alone and beside) and beside.lo <= alone.hi and alone.lo <= beside.hi


def is_precise(seen: Seen, figure: str) -> bool:
    """Whether a figure of the victim is known well enough to agree with another; or not known."""
    interval = seen.interval(figure)
    return interval is None or interval.half_width <= WIDEST * interval.value


def news(seen: Seen, innocent: Sequence[Seen]) -> list[str]:
    """What the run says that no innocent run does; numbers do not count."""
    usual = {re.sub(r"[\d.]+", "", each) for other in innocent for each in other.said}
    return [each for each in dict.fromkeys(seen.said) if re.sub(r"[\d.]+", "", each) not in usual]


def verdict(seen: Seen, innocent: Sequence[Seen]) -> str:
    """One of the verdicts at the top of this file."""
    if seen.is_lost:
        return LOST
    if any(pooled(innocent, figure) is None for figure in FIGURES):
        return UNDECIDED
    is_exact = any(seen.exact == other.exact for other in innocent)
    if is_exact and all(agrees(seen, innocent, figure) for figure in FIGURES):
        if all(is_precise(seen, figure) for figure in FIGURES):
            return UNHARMED
        return SAID if news(seen, innocent) else UNDECIDED
    return SAID if news(seen, innocent) else HARMED


def wait_for_quiet() -> None:
    """Wait until other programs take little, at most QUIET_TIMEOUT_S."""
    until = time.monotonic() + QUIET_TIMEOUT_S
    while psutil.cpu_percent(interval=1) > QUIET_PERCENT and time.monotonic() < until:
        pass


def measure(evil: str, seed: int, settings: Sequence[str]) -> Seen:
    """Run the suite with `evil` in it, in a folder and a process group that end with the run."""
    wait_for_quiet()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "suite.toml").write_text(SUITE.format(evil=evil), encoding="utf-8")
        words = ["--suite", "suite.toml", "--modules-from", str(FOLDER / f"{evil}.py")]
        words += ["--device", "cpu", "--memory", "3", "--timeout", "20", "--out", "run", "--wait"]
        words += ["--seed", str(seed), *settings]
        path = os.pathsep.join([str(HERE.parent), str(HERE)])
        with subprocess.Popen(
            [sys.executable, "-m", "attn_bench", "run", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as program:
            status: int | None = None
            try:
                status = program.wait(RUN_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                pass
            finally:
                if status is None:  # its workers die with it
                    os.killpg(program.pid, signal.SIGKILL)
        try:
            stored = runs.load(Path(folder, "run"))
        except RequestError:
            return Seen(status, {}, load=os.getloadavg()[0])
    said = tuple(reasons(stored.rows, stored.info))
    return Seen(status, {row.module: row for row in stored.rows}, said, os.getloadavg()[0])


def measure_all(
    evils: Sequence[str], every: int, seed: int, settings: Sequence[str]
) -> Iterator[tuple[str, Seen]]:
    """Measure the evil modules, and an innocent one before each `every` of them and at the end."""
    for number, evil in enumerate(evils):
        if number % every == 0:
            yield INNOCENT, measure(INNOCENT, seed + number, settings)
        yield evil, measure(evil, seed + number, settings)
    yield INNOCENT, measure(INNOCENT, seed + len(evils), settings)


def show(evil: str, seen: Seen, innocent: Sequence[Seen]) -> str:
    """A line of the table: the victim's figures, and what became of the evil module and the run.

    A figure that does not agree is marked by `!`.
    """
    words = [f"{evil:19}"]
    for figure in FIGURES:
        alone, beside = pooled(innocent, figure), seen.interval(figure)
        factor = f"×{beside.value / alone.value:.2f}" if alone and beside else "-"
        mark = " " if agrees(seen, innocent, figure) else "!"
        words.append(f"{seen.shown(figure):>15} {factor:>6}{mark}")
    is_exact = any(seen.exact == other.exact for other in innocent)
    row = seen.rows.get(evil)
    words.append(f"{'equal' if is_exact else 'OTHER'}  {row.status if row else 'no row':13}")
    words.append(f"{'killed' if seen.exit is None else seen.exit:>6}  {seen.load:>4.1f}")
    return "  ".join(words)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=EVILS, default=EVILS, metavar="NAME")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds of a run")
    parser.add_argument("--every", type=int, default=5, help="evil runs to an innocent one")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    words = parser.parse_args()
    settings = ["--budget", str(words.budget)]
    settings += ["--threads", str(words.threads)] if words.threads else []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a run does not outlive this program
    print(HEADING)
    innocent: list[Seen] = []
    found: dict[str, Seen] = {}
    again: Sequence[str] = words.only
    for seed in (0, 1000):
        for evil, seen in measure_all(again, words.every, seed, settings):
            if evil == INNOCENT:
                innocent.append(seen)
            else:
                found[evil] = seen
            word = "" if evil == INNOCENT else verdict(seen, innocent)
            print(f"{show(evil, seen, innocent)}  {word}", flush=True)
        again = [evil for evil, seen in found.items() if verdict(seen, innocent) == HARMED]
        if not again:
            break
    return conclude(found, innocent)


def conclude(found: Mapping[str, Seen], innocent: Sequence[Seen]) -> int:
    """Print the verdicts. Returns the exit status."""
    for figure in FIGURES:
        alone = pooled(innocent, figure)
        ends = f"{alone.value:.4g} ({alone.lo:.4g} … {alone.hi:.4g})" if alone else "not known"
        print(f"{VICTIM} in {len(innocent)} innocent runs: {figure} {ends}")
    verdicts = {evil: verdict(seen, innocent) for evil, seen in found.items()}
    for evil, word in verdicts.items():
        print(f"{show(evil, found[evil], innocent)}  {word}")
        for reason in news(found[evil], innocent):
            print(f"{'':21}{reason}")
    counts = Counter(verdicts.values())
    print("; ".join(f"{counts[word]} {word}" for word in (UNHARMED, SAID, UNDECIDED, HARMED, LOST)))
    if counts[HARMED] or counts[LOST]:
        return int(Exit.BAD_ANSWER)
    return int(Exit.UNDECIDED if counts[UNDECIDED] else Exit.GOOD)


if __name__ == "__main__":
    raise SystemExit(main())
