"""Measures false alarms, power and coverage beside a busy neighbour.

    python benchmarks/error_rates.py [--identical N] [--seconds S] [--precision PERCENT]

Makes trials like `attn-bench selfcheck`, until N identical variants have been compared. Half of
them share a baseline. Each trial is a separate run. The default settings are 2 s a case, ± 2 % and
5 sessions. Prints each rate with its 95 % interval. With --quiet nothing runs beside it.
"""

from __future__ import annotations

import argparse
import sys

from neighbour import load, neighbours

from attn_bench.jobs.selfcheck import Pairs, SelfcheckRequest, selfcheck
from attn_bench.plan.cases import PRECISION, SECONDS_PER_CASE
from attn_bench.view.console.progress import LiveProgress
from attn_bench.view.console.selfcheck import show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identical", type=int, default=1000, help="number of comparisons")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS_PER_CASE, help="seconds a case in a trial"
    )
    parser.add_argument("--precision", type=float, default=100 * PRECISION, help="percent")
    parser.add_argument("--minutes", type=float, help="time limit, instead of --identical")
    parser.add_argument(
        "--pairs", default="0:25", help="percent:how many in a trial, …; as many as 0 share"
    )
    parser.add_argument("--quiet", action="store_true")
    words = parser.parse_args()
    of = {int(p): int(n) for p, n in (w.split(":") for w in words.pairs.split(","))}
    pairs = Pairs(of, sharing=of.get(0, 0))
    trials = -(-words.identical // (2 * of.get(0, 1)))
    progress = LiveProgress()
    with neighbours("quiet" if words.quiet else "one"):
        request = SelfcheckRequest(
            words.minutes or 1e6,
            "cpu",
            pairs,
            precision=words.precision / 100,
            case_s=words.seconds,
            most_trials=None if words.minutes else trials,
            command=tuple(sys.argv),
        )
        finished, _ = selfcheck(request, progress)
    progress.close()
    show(finished.info)
    print(load())


if __name__ == "__main__":
    main()
