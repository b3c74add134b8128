"""Builds one backbone of each of timm's families with SE, and runs it.

    python benchmarks/build_backbones.py [FAMILY …]

The smallest of the first few of each family (`attn-bench list backbones`) gets SE at each kind of
place that it has, and computes two images of 64×64. Status 1: one of them failed.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import defaultdict

import torch

from attn_bench.catalog.backbones import BACKBONES
from attn_bench.catalog.registry import builtin
from attn_bench.modules import backbones

SIDE = 64
FEW = 6


def smallest(names: list[str]) -> str:
    """The one with the fewest parameters."""
    sizes = {}
    for name in names:
        with torch.device("meta"):
            sizes[name] = sum(p.numel() for p in backbones.plain(name).parameters())
    return min(sizes, key=lambda name: sizes[name])


def problems(name: str) -> list[str]:
    """What failed, for each kind of place."""
    entry, found = builtin().get("se"), []
    for place in BACKBONES[name].places:
        made = []

        def make(channels: int, size: tuple[int, int], stage: int) -> torch.nn.Module:
            made.append(entry.build(channels, size, None))  # noqa: B023
            return made[-1]  # noqa: B023

        try:
            model = backbones.build(name, make, place=place, input_size=SIDE).eval()
            with torch.inference_mode():
                result = model(torch.randn(2, 3, SIDE, SIDE))
        except Exception as error:  # any of timm's networks may raise anything
            found.append(f"{place}: {type(error).__name__}: {error}")
            continue
        is_whole = len(result) == 2 and bool(result.isfinite().all())
        if not made or not is_whole:
            found.append(f"{place}: {len(made)} modules, result {tuple(result.shape)}")
    return found


def main() -> int:
    warnings.simplefilter("ignore")
    families = defaultdict(list)
    for name, there in BACKBONES.items():
        families[there.family].append(name)
    wanted = sys.argv[1:] or sorted(families)
    failed = 0
    for family in wanted:
        begin, name = time.monotonic(), smallest(families[family][:FEW])
        found = problems(name)
        failed += bool(found)
        took = f"{time.monotonic() - begin:.1f} s"
        places = ", ".join(BACKBONES[name].places)
        print(f"{family:20} {name:32} {'; '.join(found) or places}  ({took})", flush=True)
    print(f"{len(wanted)} families, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
