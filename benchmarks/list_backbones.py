"""Lists the backbones of timm that can take a module, with their places.

    python benchmarks/list_backbones.py > attn_bench/catalog/data/backbones.csv
    python benchmarks/list_backbones.py --check [FAMILY …]

It builds each of timm's networks without memory (on PyTorch's "meta" device), and traces a forward
of one image of 64×64. A network is left out if it cannot take such an image, or has fewer than
three blocks and spatial convolutions: a vision transformer has none but the patches.
--check compares with the listed ones instead. Status 1: one differs.
"""

from __future__ import annotations

import csv
import sys
import warnings

import timm
import torch
from torch import nn

from attn_bench.catalog.backbones import BACKBONES
from attn_bench.modules import backbones

SIDE = 64
LEAST_SITES = 3
# A ResNet with the strides of the papers, as `backbones.plain` builds it.
OF_PAPERS = ("resnet50", "resnet101", "resnet152")


def describe(name: str) -> dict[str, object] | None:
    """The row of a backbone; None if it cannot take a module."""
    try:
        with torch.device("meta"):
            model = backbones.plain(name).eval()
        found = backbones.all_sites(model, input_size=SIDE)
        attention = len(backbones.attention(model, found))
        with torch.no_grad(), torch.device("meta"):
            if found:  # maps whose channels come last are found out here
                place = next(iter(found))
                backbones.insert(model, lambda c, *_: nn.Conv2d(c, c, 1), place, input_size=SIDE)
            model(torch.zeros(1, 3, SIDE, SIDE))
    except Exception as error:  # networks fail in many ways, and are left out
        print(f"{name}: {type(error).__name__}: {error}"[:200], file=sys.stderr)
        return None
    if max((len(found.get(kind, ())) for kind in ("block", "inner")), default=0) < LEAST_SITES:
        return None
    stages = max(site.stage for sites in found.values() for site in sites)
    return {
        "backbone": name,
        "family": timm.models.model_entrypoint(name.removesuffix(backbones.CAFFE)).__module__.split(
            "."
        )[-1],
        "stages": stages,
        "places": " ".join(found),
        "attention": attention,
    }


def check(families: list[str]) -> int:
    """Print each listed backbone whose facts are others now. Returns the exit status."""
    differ = 0
    for name, listed in BACKBONES.items():
        if families and listed.family not in families:
            continue
        row = describe(name) or {}
        facts = (row.get("stages"), row.get("places"), row.get("attention"))
        if facts != (listed.stages, " ".join(listed.places), listed.attention):
            differ += 1
            print(f"{name} ({listed.family}): now {facts}", flush=True)
    print(f"{differ} differ")
    return int(differ > 0)


def main() -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--check"]:
        return check(sys.argv[2:])
    names = sorted([*timm.list_models(), *(f"{name}{backbones.CAFFE}" for name in OF_PAPERS)])
    print(f"# by benchmarks/list_backbones.py, of timm {timm.__version__}")
    columns = ("backbone", "family", "stages", "places", "attention")
    table = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    table.writeheader()
    for name in names:
        if (row := describe(name)) is not None:
            table.writerow(row)
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
