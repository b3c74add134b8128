"""Compares estimators of a session's ratio, on recorded twins.

    python benchmarks/estimators.py [--trials N] [--threads N] [quiet one four …]

Records pairs of identical variants, with no other work, beside one process that spins half of the
time, and beside four that always spin. Each pair in each session gives one ratio, whose true value
is 1. Prints, for each estimator, the robust standard deviation of the logarithm of that ratio
between sessions, and how far its median is from 0. The runs stay under results/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from neighbour import load, neighbours
from numpy.typing import NDArray

from attn_bench.analysis.location import CLEAN, TRIMMED
from attn_bench.jobs.selfcheck import Pairs, SelfcheckRequest, selfcheck
from attn_bench.store import runs
from attn_bench.view.console.progress import LiveProgress

Floats = NDArray[np.float64]
PAIRS = 12
LEAST = 5  # rounds


def low_mean(share: float) -> Callable[[Floats], float]:
    return lambda x: float(np.log(np.mean(np.sort(x)[: max(1, int(np.ceil(share * x.size)))])))


def quantile(share: float) -> Callable[[Floats], float]:
    return lambda x: float(np.log(np.quantile(x, share)))


def half_sample_mode(x: Floats) -> float:
    """Bickel and Frühwirth, On a fast, robust estimator of the mode, CSDA 50, 2006."""
    ordered = np.sort(x)
    while ordered.size > 2:
        half = (ordered.size + 1) // 2
        widths = ordered[half - 1 :] - ordered[: ordered.size - half + 1]
        first = int(np.argmin(widths))
        ordered = ordered[first : first + half]
    return float(np.log(ordered.mean()))


# Of the times of one case in one session.
ALONE: dict[str, Callable[[Floats], float]] = {
    "median": quantile(0.5),
    "25th percentile": quantile(0.25),
    "10th percentile": quantile(0.10),
    "minimum": quantile(0.0),
    "mean of the lower half": low_mean(0.5),
    "mean of the lower quarter": low_mean(0.25),
    "mean of the lower tenth": low_mean(0.1),
    "half-sample mode": half_sample_mode,
}


def paired(a: Floats, b: Floats) -> float:
    return float(np.median(np.log(a / b)))


def paired_mean(a: Floats, b: Floats) -> float:
    """The mean without the lowest and the highest fifth."""
    logs = np.sort(np.log(a / b))
    cut = int(TRIMMED * logs.size)
    return float(logs[cut : logs.size - cut].mean())


class Pair(NamedTuple):
    """One pair of twins in one session: seconds and share of waiting, a line for each round."""

    a: Floats
    b: Floats

    def only(self, kept: NDArray[np.bool_]) -> Pair:
        return Pair(self.a[kept], self.b[kept])

    @property
    def waited(self) -> Floats:
        return np.maximum(self.a[:, 1], self.b[:, 1])


def read(path: Path) -> list[Pair]:
    """The pairs of a recorded run, each in each session."""
    times: dict[tuple[str, int], dict[int, tuple[float, float]]] = {}
    for block in runs.load_blocks(path):
        if block.round > 0:
            waited = (block.waited_s or 0.0) / block.seconds
            one_s = block.seconds / block.calls
            times.setdefault((block.case_id, block.session), {})[block.round] = one_s, waited
    twins = {case for case, _ in times if "probe" in case}
    ordered = sorted(twins, key=lambda case: int(case.partition("copy=")[2].split(")")[0]))
    pairs = []
    for one, other in zip(ordered[::2], ordered[1::2], strict=True):
        for session in sorted({s for case, s in times if case == one}):
            mine, theirs = times[one, session], times.get((other, session), {})
            both = sorted(mine.keys() & theirs.keys())
            if len(both) >= LEAST:
                pairs.append(Pair(*(np.array([t[r] for r in both]) for t in (mine, theirs))))
    return pairs


def estimate(pair: Pair) -> dict[str, float]:
    """The logarithm of the ratio by every estimator; those without enough rounds are left out."""
    found = {}
    for words, kept in (
        ("", np.ones(pair.waited.size, dtype=bool)),
        (" of undisturbed rounds", pair.waited <= CLEAN),
    ):
        if kept.sum() >= LEAST:
            chosen = pair.only(kept)
            found[f"median of paired ratios{words}"] = paired(chosen.a[:, 0], chosen.b[:, 0])
            found[f"trimmed mean of paired ratios{words}"] = paired_mean(
                chosen.a[:, 0], chosen.b[:, 0]
            )
            for name, of in ALONE.items():
                found[f"{name}{words}"] = of(chosen.a[:, 0]) - of(chosen.b[:, 0])
    return found


def compare(path: Path) -> None:
    pairs = read(path)
    logs: dict[str, list[float]] = {}
    for pair in pairs:
        for name, log in estimate(pair).items():
            logs.setdefault(name, []).append(log)
    clean = [float(np.sum(pair.waited <= CLEAN)) for pair in pairs]
    waited = np.mean([np.mean(pair.waited > CLEAN) for pair in pairs])
    print(
        f"{path.name}: {len(pairs)} pairs and sessions, "
        f"{np.median([pair.a.shape[0] for pair in pairs]):.0f} rounds each; {100 * waited:.0f} % "
        f"of the rounds disturbed; undisturbed: {min(clean):.0f} at least"
    )
    for name, values in sorted(logs.items(), key=lambda item: robust_sd(item[1])):
        print(
            f"  {100 * robust_sd(values):6.2f} %  sd {100 * np.std(values):6.2f} %  bias "
            f"{100 * np.median(values):+6.2f} %  {len(values):4d}  {name}"
        )


def robust_sd(values: list[float]) -> float:
    low, high = np.percentile(values, [25, 75])
    return float(high - low) / 1.349


def record(kind: str, trials: int) -> Path:
    with neighbours(kind):
        progress = LiveProgress()
        finished, _ = selfcheck(
            SelfcheckRequest(
                1e6,
                "cpu",
                Pairs({0: PAIRS}),
                precision=1e-6,
                most_trials=trials,
                command=tuple(sys.argv),
            ),
            progress,
        )
        progress.close()
        print(f"{kind}: {load()}")
    return finished.path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["quiet", "one", "four"])
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--of", action="append", help="a recorded run, instead of recording")
    words = parser.parse_args()
    for path in words.of or []:
        compare(Path(path))
    for kind in [] if words.of else words.kinds:
        compare(record(kind, words.trials))


if __name__ == "__main__":
    main()
