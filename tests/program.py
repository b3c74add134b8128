"""The real program in a process of its own, and what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attn_bench.store import runs
from attn_bench.store.runs import StoredRun

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(__file__).parent / "data"

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def program(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m attn_bench WORDS…` in `cwd`, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "attn_bench", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


@dataclass(frozen=True)
class ProgramRun:
    """A finished command and the run that it left."""

    process: subprocess.CompletedProcess[str]
    folder: Path
    stored: StoredRun


def program_run(cwd: Path, *words: str, by: Cli = program) -> ProgramRun:
    process = by("run", *words, cwd=cwd)
    (folder,) = (cwd / "results").iterdir()
    return ProgramRun(process, folder, runs.load(folder))
