"""Compares the latencies of `recommend` with timings by hand.

    attn-bench recommend --backbone resnet50 --max-latency +10% --json answer.json
    python benchmarks/recommend_by_hand.py answer.json [CANDIDATE …]

For each candidate (default: the recommended one), a few new processes build the plain network and
the candidate's network, and time the two in turn, in random order, without the harness. Prints the
added latency by hand and by `recommend`, with 95 % intervals, and whether these overlap.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from math import exp, log, sqrt
from pathlib import Path

from scipy.stats import t

from attn_bench.engine.process import worker_environment

PROCESSES = 6
SECONDS = 15.0  # of each, after a warm-up


def main(answer: str, *labels: str) -> None:
    found = json.loads(Path(answer).read_text(encoding="utf-8"))
    wanted = labels or (found["chosen"],)
    for candidate in found["candidates"]:
        if candidate["label"] not in wanted:
            continue
        row = candidate["row"]
        logs = [_in_a_process(row) for _ in range(PROCESSES)]
        half = t.ppf(0.975, PROCESSES - 1) * statistics.stdev(logs) / sqrt(PROCESSES)
        mean = statistics.mean(logs)
        lo, value, hi = (100 * (exp(x) - 1) for x in (mean - half, mean, mean + half))
        ours = [100 * (row[name] - 1) for name in ("ratio_lo", "ratio", "ratio_hi")]
        agree = "overlap" if lo <= ours[2] and ours[0] <= hi else "DO NOT OVERLAP"
        print(
            f"{candidate['label']}: by hand {value:+.1f} % ({lo:.1f} … {hi:.1f}), "
            f"by recommend {ours[1]:+.1f} % ({ours[0]:.1f} … {ours[2]:.1f}): the intervals {agree}"
        )


def _in_a_process(row: dict[str, object]) -> float:
    done = subprocess.run(
        [sys.executable, __file__, "--time", json.dumps(row)],
        env=worker_environment("huge"),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def time_one_pair(row: dict[str, object]) -> None:
    """Print the median logarithm of the candidate's time over the plain network's."""
    import torch

    from attn_bench.catalog.backbones import Place
    from attn_bench.catalog.registry import builtin
    from attn_bench.modules.backbones import build

    if row["mode"] != "inference" or row["dtype"] != "float32" or row["device"] != "cpu":
        sys.exit("this benchmark times only float32 inference on a CPU")
    torch.set_num_threads(int(str(row["threads"])))
    entry, extent = builtin().get(str(row["module"])), row["extent"]
    place, side = Place.read(str(row["place"])), int(str(row["height"]))
    plain = build(str(row["backbone"]), input_size=side).eval()
    other = build(
        str(row["backbone"]),
        lambda channels, size, stage: entry.build(channels, size, extent),  # type: ignore[arg-type]
        place=place.kind,
        stages=place.stages,
        input_size=side,
    ).eval()
    x = torch.randn(int(str(row["batch"])), 3, side, side)
    logs, networks = [], [plain, other]
    with torch.inference_mode():
        until = time.perf_counter() + 3
        while time.perf_counter() < until:
            plain(x), other(x)
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            random.shuffle(networks)
            seconds = {}
            for network in networks:
                network(x)  # the other network has filled the caches with its data
                begin = time.perf_counter()
                network(x)
                seconds[network is other] = time.perf_counter() - begin
            logs.append(log(seconds[True] / seconds[False]))
    print(statistics.median(logs))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--time"]:
        time_one_pair(json.loads(sys.argv[2]))
    elif len(sys.argv) < 2:
        sys.exit(__doc__)
    else:
        main(*sys.argv[1:])
