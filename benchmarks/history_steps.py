"""Simulates how often a history of unchanged code gets a step, and how often a step is found.

    python benchmarks/history_steps.py [--series N] [--peer-series N] [--seed S]
                                       [--noise told|silent | --runs RUN …]

Each series has 60 runs. Their logarithms have a standard deviation of 1 %; 5 % of the runs are four
times noisier. Each run has a standard error, which is itself an estimate of 4 degrees of freedom:
the whole deviation (`told`), or a third of it, also for the noisy runs (`silent`). With --runs the
noise is that of stored runs of unchanged code: the ratios of each case, centred, scaled by its
median error, and drawn anew from all cases.

Prints the series without a step in which one is found, and the share of steps that are found, by
size and number of runs after it. In the table a step is found if one of its direction is within two
runs of its place. Beside ours: asv's step detection, and PELT of ruptures with Huber's loss and a
penalty of 4 ln n, each on the same series if it is installed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import exp, log, sqrt
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from neighbour import load
from pyarrow import parquet
from scipy.special import ndtri

from attn_bench.analysis.changes import Reading, Step, find_steps

RUNS = 60
SD, NOISY, TIMES, DF, SILENT = 0.01, 0.05, 4.0, 4, 1 / 3
SIZES, AFTER = (1, 2, 3, 5, 10), (1, 2, 3, 5, 10)
CLAIM = (3, 5)  # the size and the number of runs after it that issue 18 asks for
NEAR = 2  # runs
LEAST_RECORDED = 3  # runs of a case
CREEP = 2  # percent, four times
COLUMNS = ["case_id", "status", "ratio", "ratio_lo", "ratio_hi"]

Floats = np.ndarray
Noise = Callable[[np.random.Generator, int], tuple[Floats, Floats]]  # the logarithms, the errors
Found = list[tuple[int, float]]  # (first run after a step, logarithm of its ratio)
Detector = Callable[[Floats, Floats], Found]


def simulated(*, is_told: bool) -> Noise:
    def draw(rng: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
        sd = SD * np.where(rng.random(runs) < NOISY, TIMES, 1.0)
        known = sd if is_told else np.full(runs, SD * SILENT)
        return rng.normal(0, sd), known * np.sqrt(rng.chisquare(DF, runs) / DF)

    return draw


def recorded(paths: Sequence[Path]) -> Noise:
    """The deviations of the log ratios of each case from their mean, with their errors.

    Each case is scaled by its median error, so that all cases make one pool.
    """
    by_case: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for path in paths:
        for row in parquet.read_table(path / "table.parquet", columns=COLUMNS).to_pylist():
            lo, hi = row["ratio_lo"], row["ratio_hi"]
            if row["ratio"] is not None and lo and hi and lo < hi:
                se = log(hi / lo) / 2 / float(ndtri(0.975))
                by_case[row["case_id"]].append((log(row["ratio"]), se))
    typical = {case: float(np.median([se for _, se in each])) for case, each in by_case.items()}
    pool = []
    for case, found in by_case.items():
        if len(found) >= LEAST_RECORDED:
            logs, errors = np.array(found).T
            spread = (logs - logs.mean()) * sqrt(logs.size / (logs.size - 1))
            pool += zip(spread / typical[case], errors / typical[case], strict=True)
    deviations, errors = np.array(pool).T * float(np.median(list(typical.values())))
    low, middle, high = 100 * np.quantile(np.abs(deviations), [0.5, 0.9, 0.99])
    print(
        f"{len(paths)} runs, {deviations.size} ratios: deviations of {low:.1f} % (median), "
        f"{middle:.1f} % (nine of ten), {high:.1f} % (99 of 100); standard errors of "
        f"{100 * np.median(errors):.1f} % (median)"
    )

    def draw(rng: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
        which = rng.integers(deviations.size, size=runs)
        return deviations[which], errors[which]

    return draw


def readings(logs: Floats, errors: Floats) -> list[Reading]:
    return [Reading(a, b) for a, b in zip(logs.tolist(), errors.tolist(), strict=True)]


def ours(logs: Floats, errors: Floats) -> Found:
    return [(step.at, log(step.ratio.value)) for step in find_steps(readings(logs, errors))]


def asv(logs: Floats, errors: Floats) -> Found:
    from asv.step_detect import detect_steps

    pieces = detect_steps(np.exp(logs).tolist(), (1 / errors).tolist())
    return [(after[0], log(after[2] / before[2])) for before, after in pairwise(pieces)]


def ruptures(logs: Floats, errors: Floats) -> Found:
    from ruptures import Pelt

    search = Pelt(custom_cost=huber(), min_size=2, jump=1).fit(np.column_stack([logs, errors]))
    *starts, _ = search.predict(4 * log(logs.size))
    ends = [0, *starts, logs.size]
    levels = [float(np.median(logs[a:b])) for a, b in pairwise(ends)]
    return [(at, levels[k + 1] - levels[k]) for k, at in enumerate(starts)]


@cache
def huber() -> Any:
    """Huber's loss about the median of a segment; `ruptures` may not be installed."""
    from ruptures.base import BaseCost

    class Huber(BaseCost):  # type: ignore[misc]
        model, min_size, bend = "", 2, 1.345

        def fit(self, signal: Floats) -> Huber:
            self.signal = signal
            return self

        def error(self, start: int, end: int) -> float:
            logs, errors = self.signal[start:end].T
            z = np.abs(logs - np.median(logs)) / errors
            return float(np.where(z < self.bend, z**2, self.bend * (2 * z - self.bend)).sum())

    return Huber()


@dataclass
class Cell:
    """What a detector found in series with a step of one kind."""

    series: int = 0
    anywhere: int = 0
    found: int = 0
    displaced: int = 0
    others: int = 0

    def add(self, found: Found, at: int, size: float) -> None:
        near = [place for place, by in found if abs(place - at) <= NEAR and (by > 0) == (size > 0)]
        self.series += 1
        self.anywhere += any((by > 0) == (size > 0) for _, by in found)
        self.found += bool(near)
        self.displaced += bool(near) and at not in near
        self.others += len(found) > bool(near)

    def words(self) -> str:
        displaced = 100 * self.displaced / max(self.found, 1)
        return f"{100 * self.found / self.series:5.1f} ({displaced:2.0f})"


def false_alarms(detect: Detector, noise: Noise, seed: int, series: int) -> str:
    rng = np.random.default_rng(seed)
    wrong = sum(bool(detect(*noise(rng, RUNS))) for _ in range(series))
    return f"{100 * wrong / series:.2f} % ({wrong} of {series})"


def hits(
    detect: Detector, noise: Noise, seed: int, series: int, *, percent: int, after: int
) -> Cell:
    """Steps up and down in turn."""
    rng = np.random.default_rng((seed, percent, after))
    cell = Cell()
    for number in range(series):
        size = log(1 + percent / 100) * (1 if number % 2 else -1)
        logs, errors = noise(rng, RUNS)
        logs = logs + size * (np.arange(RUNS) >= RUNS - after)
        cell.add(detect(logs, errors), RUNS - after, size)
    return cell


def show_detector(detect: Detector, noise: Noise, words: argparse.Namespace, series: int) -> None:
    print(f"\n{detect.__name__}")
    print(f"  false alarms: {false_alarms(detect, noise, words.seed, series)}")
    size, after = CLAIM
    cell = hits(detect, noise, words.seed, series, percent=size, after=after)
    print(
        f"  {size} % with {after} runs after it: found in {100 * cell.anywhere / series:.1f} % of "
        f"{series}; within {NEAR} runs of its place in {100 * cell.found / series:.1f} %, "
        f"at its place in {100 * (cell.found - cell.displaced) / series:.1f} %; "
        f"another step in {100 * cell.others / series:.1f} %"
    )
    few = max(1, series // 4)
    print(f"  % found of {few} (% of these displaced by 1 or 2 runs), by runs after the step")
    print("  step   " + "".join(f"{after:>14}" for after in AFTER), flush=True)
    for size in SIZES:
        cells = [hits(detect, noise, words.seed, few, percent=size, after=k) for k in AFTER]
        print(f"  {size:3d} %  " + "".join(f"{cell.words():>14}" for cell in cells), flush=True)


def show_intervals(noise: Noise, seed: int, series: int) -> None:
    """Of our steps: whether the intervals hold the truth, and what a creep adds up to."""
    rng = np.random.default_rng(seed)
    size, after = log(1 + CLAIM[0] / 100), CLAIM[1]
    held = [
        step.ratio.lo <= exp(size) <= step.ratio.hi
        for _ in range(series)
        for step in _steps(noise, rng, [RUNS - after], size)
    ]
    print(f"\nintervals of steps of {CLAIM[0]} % that hold it: {100 * np.mean(held):.1f} %")
    for apart in (1, 5, 10):
        places = [20 + apart * k for k in range(4)]
        creep = log(1 + CREEP / 100)
        products, counts = [], []
        for _ in range(series):
            steps = _steps(noise, rng, places, creep)
            counts.append(len(steps))
            products.append(float(np.prod([step.ratio.value for step in steps])))
        lo, middle, hi = np.quantile(products, [0.05, 0.5, 0.95])
        print(
            f"creep of 4 times {CREEP} %, {apart} runs apart ({(1 + CREEP / 100) ** 4:.4f}): "
            f"product {middle:.4f}, nine of ten {lo:.4f} to {hi:.4f}; {np.mean(counts):.1f} steps"
        )


def _steps(noise: Noise, rng: np.random.Generator, places: Sequence[int], by: float) -> list[Step]:
    logs, errors = noise(rng, RUNS)
    for at in places:
        logs = logs + by * (np.arange(RUNS) >= at)
    return find_steps(readings(logs, errors))


def show_seconds(noise: Noise, seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = []
    for _ in range(60):
        logs, errors = noise(rng, 300)
        series.append(readings(logs + 0.03 * (np.arange(300) >= 150), errors))
    start = perf_counter()
    for each in series:
        find_steps(each)
    print(f"60 series of 300 runs: {perf_counter() - start:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=2000, help="of each kind, for ours")
    parser.add_argument("--peer-series", type=int, default=200, help="of each kind, for others")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", choices=["told", "silent"], help="only this kind")
    parser.add_argument(
        "--runs", nargs="+", type=Path, metavar="RUN", help="folders of unchanged code"
    )
    words = parser.parse_args()
    if words.runs:
        noises = {"recorded": recorded(words.runs)}
    else:
        kinds = [words.noise] if words.noise else ["told", "silent"]
        noises = {kind: simulated(is_told=kind == "told") for kind in kinds}
    for name, noise in noises.items():
        print(f"\nnoise: {name}")
        show_detector(ours, noise, words, words.series)
        show_intervals(noise, words.seed, max(1, words.series // 4))
        for peer in (asv, ruptures):
            try:
                peer(*noise(np.random.default_rng(words.seed), RUNS))
            except ImportError:
                print(f"\n{peer.__name__} is not installed: pip install {peer.__name__}")
            else:
                show_detector(peer, noise, words, words.peer_series)
    show_seconds(noise, words.seed)
    print(load())


if __name__ == "__main__":
    main()
