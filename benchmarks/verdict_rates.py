"""Simulates how often the verdicts of `check` are wrong, over all its looks and cases.

    python benchmarks/verdict_rates.py [--runs N]

Draws checks of 20 pairs in 5 sessions, all with the same true change, and looks at them as the
coordinator does. Sessions differ by 0.6 %, rounds by 3 % with heavy tails. The tolerance is 3 %.
Prints, for each true change, the share of checks in which any case fails (a change within the
tolerance must not fail), and the share of cases that are called same (a change beyond it must not).
"""

from __future__ import annotations

import argparse
from collections import Counter
from math import log

import numpy as np
from neighbour import load

from attn_bench.analysis.estimates import Timings
from attn_bench.analysis.verdicts import Tolerances, Trial
from attn_bench.model.run import Block

PAIRS, SESSIONS, TOLERANCE = 20, 5, 3.0
BETWEEN, WITHIN = 0.006, 0.03
LOOKS = (10, 13, 17, 22, 29, 38, 49, 60)
CHANGES = (0.0, 1.0, 2.0, 2.5, 2.9, 3.1, 3.5, 5.0, 8.0)


def simulate(rng: np.random.Generator, change: float) -> Counter[str]:
    """The verdicts of one check; a slowdown beyond the tolerance is `fail`."""
    pairs = {f"c{k}": f"b{k}" for k in range(PAIRS)}
    trial = Trial(dict.fromkeys(pairs, "m"), Tolerances())
    timings = Timings()
    effects = rng.normal(0, BETWEEN, (PAIRS, SESSIONS)) + log(1 + change / 100)
    done = 0
    for look in LOOKS:
        for k, s in np.ndindex(PAIRS, SESSIONS):
            if f"c{k}" in trial.decided:
                continue
            noise = WITHIN * rng.standard_t(3, look - done) / np.sqrt(3)
            for r, each in enumerate(noise):
                for case, seconds in (
                    (f"b{k}", 1.0),
                    (f"c{k}", float(np.exp(effects[k, s] + each))),
                ):
                    timings.add(
                        Block(
                            case_id=case,
                            session=s,
                            round=done + r + 1,
                            position=0,
                            calls=1,
                            seconds=seconds,
                        )
                    )
        done = look
        trial.look(timings.ratios(pairs), look / LOOKS[-1])
        if len(trial.decided) == PAIRS:
            break
    found = Counter(
        str(d.verdict) if d.severity != "fail" else "fail" for d in trial.decided.values()
    )
    found["undecided"] = PAIRS - len(trial.decided)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="checks for each true change")
    words = parser.parse_args()
    rng = np.random.default_rng(0)
    print("true change   checks that fail   cases: fail   same   faster   undecided")
    for change in CHANGES:
        runs = [simulate(rng, change) for _ in range(words.runs)]
        total = Counter[str]()
        for run in runs:
            total += run
        failed = sum(run["fail"] > 0 for run in runs) / len(runs)
        shares = [
            total[name] / (PAIRS * len(runs)) for name in ("fail", "same", "faster", "undecided")
        ]
        cells = "   ".join(f"{100 * share:5.1f} %" for share in shares)
        print(f"{change:+9.1f} %   {100 * failed:14.1f} %   {cells}", flush=True)
    print(load())


if __name__ == "__main__":
    main()
