"""History and bisection in a repository of 40 commits whose truth is known.

    python benchmarks/history_scratch.py [--fill] [--bisect 3] [--neighbour] [--sessions 8]
                                         [--budget 30] [--folder DIR]

Commit 12 takes more memory. Commit 23 is 5 % slower. Commits 30, 32, 34 and 36 are each 2 % slower.
All others change a comment. Everything is measured by real processes.

Prints what `history --fill` finds, then how often `bisect` names commit 23 between commits 13 and
29, and how often it accuses a commit of unchanged code, between 13 and 22. Status 1: something
that is not there was found.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neighbour import load, neighbours

COMMITS = 40
MEMORY_AT, STEP_AT, CREEP_AT = 12, 23, (30, 32, 34, 36)
PASSES = 400
MODULE = """\
# commit {number}
import torch
from torch import nn
from attn_bench import register


@register("scratch")
class Scratch(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        more = torch.empty({memory})
        y = x * 1.0000001
        for _ in range({passes}):
            y.mul_(1.0000001)
        return y
"""
SUITE = """\
title = "A module whose cost is known"
baseline = "scratch"

[[grid]]
module = "scratch"

[shapes]
stages = [[64, 8, 8]]
"""


def cost_of(number: int) -> tuple[int, int]:
    """The passes and the memory of a commit."""
    passes = PASSES * (1.05 if number >= STEP_AT else 1.0)
    passes *= 1.02 ** sum(number >= at for at in CREEP_AT)
    return round(passes), 2**18 if number >= MEMORY_AT else 2**10


def git(folder: Path, *words: str) -> str:
    own = ("-c", "user.name=scratch", "-c", "user.email=scratch@example.org")
    done = subprocess.run(["git", "-C", str(folder), *own, *words], capture_output=True, text=True)
    done.check_returncode()
    return done.stdout.strip()


def make_repository(folder: Path) -> list[str]:
    """The repository; returns its commits."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "scratch.toml").write_text(SUITE)
    (folder / ".gitignore").write_text("results/\n__pycache__/\n")
    commits = []
    for number in range(COMMITS):
        passes, memory = cost_of(number)
        content = MODULE.format(number=number, passes=passes, memory=memory)
        (folder / "scratch.py").write_text(content)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", f"commit {number}")
        commits.append(git(folder, "rev-parse", "HEAD"))
    return commits


def list_commits(folder: Path) -> list[str]:
    """The commits of a repository that an earlier call has made; [] if there is none."""
    if not (folder / ".git").exists():
        return []
    return git(folder, "rev-list", "--reverse", "main").split()


def attn_bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "attn_bench", *words], cwd=folder, capture_output=True, text=True
    )


def list_changes(folder: Path, metric: str, commits: list[str]) -> Iterator[tuple[int, float]]:
    """The commits at which a metric changed, and by how much."""
    done = attn_bench(folder, "history", "--metric", metric, "--format", "json")
    for series in json.loads(done.stdout)["series"]:
        for change in series["changes"]:
            yield commits.index(change["revision"]), change["ratio"]


def fill(folder: Path, commits: list[str], measuring: list[str]) -> bool:
    """Measure the history; whether it has what is there, and nothing else."""
    done = attn_bench(folder, "history", "--fill", f"{commits[0]}..{commits[-1]}", *measuring)
    print(done.stderr[-300:] if done.returncode else "filled", flush=True)
    slower = list(list_changes(folder, "ratio", commits))
    heavier = list(list_changes(folder, "peak_memory_bytes", commits))
    print("slower:", ", ".join(f"commit {at} {ratio:.3f}" for at, ratio in slower))
    print("memory:", ", ".join(f"commit {at} {ratio:.3f}" for at, ratio in heavier), flush=True)
    is_right = [at for at, _ in slower] == [STEP_AT, *CREEP_AT]
    return is_right and [at for at, _ in heavier] == [MEMORY_AT]


def bisect(folder: Path, good: str, bad: str, measuring: list[str], number: int) -> dict[str, Any]:
    """One search; its runs lie in another folder than those of the others."""
    if (folder / "results").exists():
        (folder / "results").rename(folder / f"results-{number}")
    file = folder / "found.json"
    attn_bench(folder, "bisect", "--good", good, "--bad", bad, "--json", str(file), *measuring)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fill", action="store_true", help="measure all commits")
    parser.add_argument("--bisect", type=int, default=0, metavar="N", help="searches of each kind")
    parser.add_argument("--neighbour", action="store_true", help="beside other work")
    parser.add_argument("--sessions", default="8", help="of each pair")
    parser.add_argument("--budget", default="30", help="seconds of each pair, at most")
    parser.add_argument("--folder", type=Path, help="keep the repository and its runs here")
    options = parser.parse_args()
    measuring = ["--suite", "scratch.toml", "--modules-from", "scratch.py", "--device", "cpu"]
    measuring += ["--threads", "1", "--sessions", options.sessions, "--budget", options.budget]
    is_right = True
    kind = "one" if options.neighbour else "quiet"
    with tempfile.TemporaryDirectory() as name, neighbours(kind):
        folder = options.folder or Path(name)
        commits = list_commits(folder) or make_repository(folder)
        if options.fill:
            is_right = fill(folder, commits, measuring)
        outcomes: dict[str, Counter[str]] = {"step": Counter(), "unchanged": Counter()}
        for number in range(options.bisect):
            for kind, bad in (("step", 29), ("unchanged", STEP_AT - 1)):
                found = bisect(folder, commits[13], commits[bad], measuring, number * 2 + bad)
                last = found["last"] and commits.index(found["last"])
                outcomes[kind][f"{found['outcome']} {last or ''}".strip()] += 1
                print(kind, dict(outcomes[kind]), flush=True)
        wrong = {"commit"} & {word.split()[0] for word in outcomes["unchanged"]}
        accused = {word for word in outcomes["step"] if word.startswith("commit")}
        is_right &= not wrong and accused <= {f"commit {STEP_AT}"}
    print(load())
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
