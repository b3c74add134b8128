"""Measures how fast `merge` reads shards.

    python benchmarks/fleet_merge.py [--shards 200]

Copies the committed reference run into the shards of a folder, and merges them. Prints the shards,
the rows, the time, the memory of the process at its peak, and the size of the file.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import time
from pathlib import Path

from attn_bench import __version__
from attn_bench.jobs.fleet.merge import merge
from attn_bench.model.fleet import FleetPlan
from attn_bench.model.request import RunRequest
from attn_bench.store import info as run_json
from attn_bench.store.fleet import create_plan
from attn_bench.store.places import open_place

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference" / "ge_extents-cpu"


def fill(store: Path, shards: int) -> None:
    """A store whose shards are all the reference run."""
    info = run_json.read(REFERENCE)
    request = info.request or RunRequest(info.suite.name)
    plan = FleetPlan(suite=info.suite, request=request, code="0", version=__version__)
    create_plan(open_place(str(store)), plan)
    (folder,) = store.iterdir()
    for number in range(shards):
        shard = folder / "shards" / f"{number:012x}"
        (shard / "claims").mkdir(parents=True)
        owner = {"host": f"host-{number}", "device": info.environment.cpu, "key": ""}
        (shard / "claims" / "000001.json").write_text(json.dumps(owner))
        (shard / "000001").mkdir()
        for name in ("table.parquet", "run.json"):
            shutil.copy(REFERENCE / name, shard / "000001")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=200)
    shards = parser.parse_args().shards
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder, "store"), shards)
        file = Path(folder, "all.parquet")
        began = time.process_time()
        merged = merge(f"{folder}/store", str(file), allow_partial=False)
        seconds = time.process_time() - began
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{shards} shards, {merged.rows:,} rows: {seconds:.1f} s of CPU, ", end="")
        print(f"{merged.rows / seconds:,.0f} rows a second, {peak_mb:.0f} MiB, ", end="")
        print(f"a file of {file.stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
