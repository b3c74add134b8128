"""What tests share: the real program in a process of its own, and runs that several read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from attn_bench import store
from attn_bench.store import StoredRun

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


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The program, run in an empty folder."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return program(*words, cwd=tmp_path, **environment)

    return run


@dataclass(frozen=True)
class ProgramRun:
    """A finished command and the run that it left."""

    process: subprocess.CompletedProcess[str]
    folder: Path
    stored: StoredRun


def program_run(cwd: Path, *words: str) -> ProgramRun:
    process = program("run", *words, cwd=cwd)
    (folder,) = (cwd / "results").iterdir()
    return ProgramRun(process, folder, store.load(folder))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> ProgramRun:
    """`run --suite smoke`, once for all tests that read it."""
    return program_run(tmp_path_factory.mktemp("smoke"), "--suite", "smoke", "--device", "cpu")


@pytest.fixture(scope="session")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> ProgramRun:
    """A run over a good module and all the bad ones of data/bad_modules.py."""
    return program_run(
        tmp_path_factory.mktemp("misbehaving"),
        *("--suite", str(DATA / "misbehaving.toml")),
        *("--modules-from", str(DATA / "bad_modules.py")),
        *("--timeout", "10", "--device", "cpu"),
    )


@pytest.fixture(autouse=True, scope="session")
def no_process_left() -> Iterator[None]:
    """After all tests no worker is alive."""
    yield
    left = [p.cmdline() for p in psutil.Process().children(recursive=True)]
    assert not [words for words in left if "attn_bench.worker" in " ".join(words)]
