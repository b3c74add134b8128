"""How often healthy hosts are called sick, sick ones are found, and a change of order is false.

    python benchmarks/fleet_sick.py [FLEETS]

Nothing is measured: ratios are drawn with the errors that runs have (docs/accuracy.md). The error
of the baseline is common to all cases of a host; each case also has an error between runs, and one
within its run, which its interval knows from five sessions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from attn_bench.analysis.fleet import (
    Cost,
    Costs,
    Figure,
    find_agreements,
    find_order_changes,
)
from attn_bench.analysis.sick import find_sick

SESSIONS = 5
BETWEEN_RUNS, WITHIN, OF_BASELINE = 0.01, 0.012, 0.01
SUBJECTS = 4
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fault:
    """What is wrong with the first host: its ratios, all or half of them, or its noise."""

    name: str
    factor: float = 1.0
    share: float = 1.0
    noise: float = 1.0


FAULTS = (
    Fault("none"),
    Fault("all ratios 3 % off", 1.03),
    Fault("all ratios 8 % off", 1.08),
    Fault("all ratios 12 % off", 1.12),
    Fault("60 % of the ratios 20 % off", 1.2, 0.6),
    Fault("a third of the ratios 20 % off", 1.2, 1 / 3),
    Fault("5 times the noise", noise=5.0),
)
HEALTHY = FAULTS[0]


def draw(truth: Floats, fault: Fault, generator: np.random.Generator) -> Costs:
    """The costs of a host; `truth` has the logarithms by subject and module."""
    df = SESSIONS - 1
    own = WITHIN * fault.noise
    logs = truth + OF_BASELINE * generator.standard_normal((len(truth), 1))
    logs = logs + np.hypot(BETWEEN_RUNS, own) * generator.standard_normal(truth.shape)
    logs = logs + np.log(fault.factor) * (generator.random(truth.shape) < fault.share)
    seen = np.hypot(own, OF_BASELINE) * np.sqrt(generator.chisquare(df, truth.shape) / df)
    half = seen * stdtrit(df, 0.975)
    return {
        f"shape {at}": {
            f"m{i}": Cost(Figure(float(logs[at, i]), float(half[at, i]), df))
            for i in range(truth.shape[1])
        }
        for at in range(len(truth))
    }


def count_sick(
    fleets: int, hosts: int, modules: int, fault: Fault, generator: np.random.Generator
) -> tuple[float, float]:
    """The share of fleets in which the first host is named, and in which another one is."""
    named = others = 0
    for _ in range(fleets):
        truth = generator.uniform(0.2, 2.5, (SUBJECTS, modules))
        faults = [fault, *[HEALTHY] * (hosts - 1)]
        kind = {str(i): ("kind", draw(truth, each, generator)) for i, each in enumerate(faults)}
        found = {name for sick in find_sick(kind) for name in sick.hosts}
        named += "0" in found
        others += bool(found - {"0"})
    return named / fleets, others / fleets


def show_sick(fleets: int, generator: np.random.Generator) -> Iterator[str]:
    yield "| fault of one host | hosts of its kind | cases | it is named | another is named |"
    yield "|---|---|---|---|---|"
    for fault in FAULTS:
        for hosts in (2, 3, 5, 10):
            for modules in (3, 14) if fault is HEALTHY else (14,):
                named, others = count_sick(fleets, hosts, modules, fault, generator)
                yield (
                    f"| {fault.name} | {hosts} | {SUBJECTS * modules} | {100 * named:.1f} % | "
                    f"{100 * others:.1f} % |"
                )


def show_orders(fleets: int, generator: np.random.Generator) -> Iterator[str]:
    """False changes between devices, and how often the interval of tau has the true one."""
    yield (
        "| orders of the devices | devices | changes a fleet | false | true tau | "
        "tau in its interval | width |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, spread in (("the same", 0.0), ("alike", 0.1), ("unlike", 0.5)):
        for devices in (2, 10):
            found, false, held, taus, widths = 0, 0, 0, [], []
            for _ in range(fleets):
                common = generator.uniform(0.2, 1.5, (SUBJECTS, 14))
                truths = {
                    str(i): common + spread * generator.standard_normal(common.shape)
                    for i in range(devices)
                }
                costs = {i: draw(truth, HEALTHY, generator) for i, truth in truths.items()}
                for change in find_order_changes(costs):
                    at = int(change.subject.split()[1])
                    pair = [int(m[1:]) for m in (change.faster, change.slower)]
                    here, there = (truths[d][at][pair] for d in (change.here, change.there))
                    found += 1
                    false += not (here[0] < here[1] and there[0] > there[1])
                for agreement in find_agreements(costs, draws=200):
                    true = true_tau(truths[agreement.here], truths[agreement.there])
                    held += agreement.tau.lo <= true <= agreement.tau.hi
                    taus.append(true)
                    widths.append(agreement.tau.hi - agreement.tau.lo)
            share = f"{100 * false / found:.2f} %" if found else "0"
            yield (
                f"| {name} | {devices} | {found / fleets:.1f} | {share} | {np.mean(taus):.2f} | "
                f"{100 * held / len(taus):.1f} % | {np.mean(widths):.3f} |"
            )


def true_tau(one: Floats, other: Floats) -> float:
    """Kendall's tau over the pairs of each subject."""
    products = []
    for a, b in zip(one, other, strict=True):
        upper = np.triu_indices(a.size, 1)
        products.append(
            np.sign(np.subtract.outer(a, a))[upper] * np.sign(np.subtract.outer(b, b))[upper]
        )
    return float(np.concatenate(products).mean())


def main() -> None:
    fleets = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    generator = np.random.default_rng(0)
    for line in show_sick(fleets, generator):
        print(line, flush=True)
    print()
    for line in show_orders(max(fleets // 20, 5), generator):
        print(line, flush=True)


if __name__ == "__main__":
    main()
