"""Simulates how often 95 % intervals hold the true ratio, with the variances of recorded runs.

    python benchmarks/coverage.py [--runs N] [RUN …]

Takes from each RUN (or from the reference runs) how much each case, each baseline and each session
varied, and how much the rounds of a session scattered. Draws runs of the same cases, whose true
ratios are known, and estimates them as `run` and `check` do: with 2, 3 and 5 sessions; with a
baseline that all cases of a shape share, and with one baseline for each case; with the stopping
rule at the default precision, and without. Prints the share of intervals that hold the truth.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from neighbour import load

from attn_bench.analysis.estimates import Timings
from attn_bench.analysis.location import locate
from attn_bench.engine.judges import Precision
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.model.run import Block, Plan
from attn_bench.plan.cases import PRECISION
from attn_bench.store import runs

ROOT = Path(__file__).resolve().parent.parent
SESSIONS = (2, 3, 5)
ROUNDS = 60
LOOKS = (10, 13, 17, 22, 29, 38, 49, 60)  # as the coordinator looks


@dataclass(frozen=True)
class Recorded:
    """The standard deviations of log times in one group of a recorded run.

    own: of each case between sessions, the baseline's last. shared: of all cases of a session.
    scatter: of each case's rounds.
    """

    own: list[float]
    shared: float
    scatter: list[float]


def read(path: Path) -> list[Recorded]:
    """One group for each baseline of the run."""
    stored = runs.load(path)
    timings = Timings(runs.load_blocks(path))
    groups: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for row in stored.rows:
        if row.latency_us is not None:
            groups[row.channels, row.height, row.batch, row.backbone].append(row.case_id)
    found = []
    for ids in groups.values():
        ids.sort(key=lambda i: i.startswith("identity"))
        if len(ids) < 5:
            continue
        located = {i: {s: locate(rounds) for s, rounds in timings._calls[i].items()} for i in ids}
        logs = np.array([[at.log for at in located[i].values() if at] for i in ids])
        logs -= logs.mean(axis=1, keepdims=True)
        shared = np.median(logs, axis=0)
        within = np.array([np.mean([at.variance for at in located[i].values() if at]) for i in ids])
        own = np.maximum((logs - shared).var(axis=1, ddof=1) - within, 1e-8)
        rounds = np.array([timings.rounds(i) / len(located[i]) for i in ids])
        scatter = np.sqrt(within * rounds * 2 / np.pi)
        found.append(Recorded(list(np.sqrt(own)), float(shared.std(ddof=1)), list(scatter)))
    return found


def simulate(
    rng: np.random.Generator, of: Recorded, sessions: int, *, is_shared: bool, stops: bool
) -> list[bool]:
    """One run of the group; whether each interval holds its true ratio of 1."""
    count = len(of.own) - 1
    cases = [Case(Variant(f"m{k}"), Shape(1, 1, 1, 1)) for k in range(count)]
    if is_shared:
        bases = [Case(Variant("identity"), Shape(1, 1, 1, 1))] * count
    else:
        bases = [Case(Variant(f"b{k}"), Shape(1, 1, 1, 1)) for k in range(count)]
    spread = {case.id: (of.own[k], of.scatter[k]) for k, case in enumerate(cases)}
    for k, base in enumerate(bases):
        spread[base.id] = (of.own[-1], of.scatter[-1]) if is_shared else spread[cases[k].id]
    every = tuple({case.id: case for case in [*cases, *bases]}.values())
    baseline_of = {c.id: b.id for c, b in zip(cases, bases, strict=True)}
    plan = Plan(every, baseline_of | {b.id: b.id for b in bases}, {})
    judge = Precision(plan, PRECISION if stops else 0.0)
    timings = Timings()
    effect = {
        (case.id, s): rng.normal(0, spread[case.id][0]) for case in every for s in range(sessions)
    }
    common = {s: rng.normal(0, of.shared) for s in range(sessions)}
    waiting, done = list(every), 0
    for look in LOOKS:
        for case, s in product(waiting, range(sessions)):
            noise = spread[case.id][1] * rng.standard_t(3, look - done) / np.sqrt(3)
            for k, log in enumerate(effect[case.id, s] + common[s] + noise):
                timings.add(
                    Block(
                        case_id=case.id,
                        session=s,
                        round=done + k + 1,
                        position=0,
                        calls=1,
                        seconds=float(np.exp(log)),
                    )
                )
        done = look
        waiting = judge.unfinished(waiting, timings, 0.0) if stops else waiting
        if not waiting:
            break
    found = timings.ratios(baseline_of)
    return [e.interval().lo <= 1 <= e.interval().hi for e in found.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("of", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=200, help="in each arm")
    words = parser.parse_args()
    paths = words.of or [path.parent for path in (ROOT / "results/reference").glob("*/run.json")]
    recorded = [group for path in paths for group in read(path)]
    for group in recorded:
        print(
            f"recorded: own {100 * np.median(group.own):.2f} % (baseline {100 * group.own[-1]:.2f} "
            f"%), session {100 * group.shared:.2f} %, rounds {100 * np.median(group.scatter):.1f} %"
        )
    rng = np.random.default_rng(0)
    print("sessions  baselines  stop    95 % intervals that hold the truth")
    for sessions, is_shared, stops in product(SESSIONS, (True, False), (False, True)):
        held: list[bool] = []
        bad_runs = 0
        for number in range(words.runs):
            group = recorded[number % len(recorded)]
            run = simulate(rng, group, sessions, is_shared=is_shared, stops=stops)
            held += run
            bad_runs += sum(run) < len(run) / 2
        print(
            f"{sessions:8d}  {'shared' if is_shared else 'own':9s}  {'yes' if stops else 'no':4s}  "
            f"{100 * np.mean(held):5.1f} % of {len(held)}; most wrong in {bad_runs} runs",
            flush=True,
        )
    print(load())


if __name__ == "__main__":
    main()
