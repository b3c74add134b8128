"""Shows how the placement of memory decides what a process measures.

    python benchmarks/placement.py [--processes N] [--rounds N]

Starts N worker processes in each of five settings, all at once, and lets them take turns: small
pages; huge pages for PyTorch's large tensors, for the heap of glibc, and for both; and both with
another place of input and output in each round, as `run` has it. Every process times the same cases
in many short blocks. Prints, by case and setting, the median latency of a process, and the standard
deviation of its logarithm between processes: what no number of rounds in one process averages out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from neighbour import load

from attn_bench.engine.process import Worker
from attn_bench.model import protocol
from attn_bench.model.case import Case, Shape, Variant

THP = {"THP_MEM_ALLOC_ENABLE": "1"}
GLIBC = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
MOVING = "both, moving"
SETTINGS: dict[str, dict[str, str]] = {
    "small pages": {},
    "PyTorch": THP,
    "glibc": GLIBC,
    "both": THP | GLIBC,
    MOVING: THP | GLIBC,
}
CASES = [
    Case(Variant(name, extent), Shape(*shape))
    for shape in ((8, 256, 56, 56), (8, 512, 28, 28), (8, 1024, 14, 14), (2, 64, 16, 16))
    for name, extent in (
        ("identity", None),
        ("se", None),
        ("ge_theta_minus", 8),
        ("ge_theta_minus", "global"),
    )
]
BLOCK_S = 0.003


@contextmanager
def environment(settings: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.pop(name, None) for name in (*THP, *GLIBC)}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=4, help="in each setting")
    parser.add_argument("--rounds", type=int, default=40)
    words = parser.parse_args()
    opening = protocol.Open(protocol.VERSION, "cpu", None, [], pages="default")
    workers: list[tuple[str, Worker]] = []
    try:
        for _ in range(words.processes):
            for name, settings in SETTINGS.items():
                with environment(settings):
                    workers.append((name, Worker(opening)))
                workers[-1][1].open()
        measure(workers, words.rounds)
    finally:
        for _, worker in workers:
            worker.end()


def measure(workers: list[tuple[str, Worker]], rounds: int) -> None:
    rng = np.random.default_rng(0)
    times: dict[tuple[str, int], list[float]] = {}
    calls: dict[str, int] = {}
    for round_ in range(rounds + 1):
        for index in rng.permutation(len(workers)):
            for at in rng.permutation(len(CASES)):
                case = CASES[at]
                number = calls.get(case.id, 1)
                place = round_ if workers[index][0] == MOVING else 0
                reply = workers[index][1].ask(protocol.RunBlock(case, number, place), 60)
                assert isinstance(reply, protocol.Timed), reply
                one_s = reply.timing.seconds / number
                calls.setdefault(case.id, max(1, round(BLOCK_S / one_s)))
                if round_:
                    times.setdefault((case.id, int(index)), []).append(one_s)
    print(f"{len(workers) // len(SETTINGS)} processes a setting, {rounds} rounds; {load()}")
    for case in CASES:
        print(case.id.removesuffix("/float32/contiguous/inference/eager/cpu"))
        for name in SETTINGS:
            logs = np.array(
                [
                    np.log(np.median(times[case.id, index]))
                    for index, (setting, _) in enumerate(workers)
                    if setting == name
                ]
            )
            each = " ".join(f"{1e6 * x:.4g}" for x in np.exp(logs))
            print(
                f"    {name:13s} {1e6 * float(np.exp(np.median(logs))):8.4g} µs  "
                f"sd {100 * logs.std(ddof=1):5.1f} %   {each}"
            )


if __name__ == "__main__":
    main()
