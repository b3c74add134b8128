"""What tests share: a folder to run the program in, and runs that several of them read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from program import DATA, Cli, ProgramRun, program, program_run


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The program, run in an empty folder."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return program(*words, cwd=tmp_path, **environment)

    return run


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
        *("--timeout", "10", "--memory", "1.5", "--device", "cpu"),
    )


@pytest.fixture(autouse=True, scope="session")
def no_process_left() -> Iterator[None]:
    """After all tests no worker is alive."""
    yield
    left = [p.cmdline() for p in psutil.Process().children(recursive=True)]
    assert not [words for words in left if "attn_bench.worker" in " ".join(words)]
