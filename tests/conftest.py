"""What tests share: a folder to run the program in, and runs that several of them read."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from inside import inside
from program import DATA, Cli, ProgramRun, program, program_run


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The program in an empty folder, in this process: its times are a script's."""
    return partial(inside, cwd=tmp_path)


@pytest.fixture
def real(tmp_path: Path) -> Cli:
    """The program in an empty folder, in a process of its own, with workers of theirs."""
    return partial(program, cwd=tmp_path)


@pytest.fixture(scope="session")
def real_smoke(tmp_path_factory: pytest.TempPathFactory) -> ProgramRun:
    """`run --suite smoke` through real processes."""
    # Where the machine is left alone it ends long before its budget.
    words = ("--device", "cpu", "--threads", "1", "--budget", "6", "--precision", "90")
    words += ("--sessions", "2")
    return program_run(tmp_path_factory.mktemp("real_smoke"), "--suite", "smoke", *words)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> ProgramRun:
    """`run --suite smoke`, its facts real, its times of a script: the same in every process."""
    words = ("--suite", "smoke", "--device", "cpu")
    return program_run(tmp_path_factory.mktemp("smoke"), *words, by=inside)


@pytest.fixture(scope="session")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> ProgramRun:
    """A run over a good module and all the bad ones of data/bad_modules.py."""
    return program_run(
        tmp_path_factory.mktemp("misbehaving"),
        *("--suite", str(DATA / "misbehaving.toml")),
        *("--modules-from", str(DATA / "bad_modules.py")),
        *("--timeout", "6", "--memory", "1.5", "--device", "cpu"),
    )


@pytest.fixture(autouse=True, scope="session")
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The programs under test share no lock with other programs of this machine."""
    folder = tmp_path_factory.mktemp("tmp")
    compiled = tmp_path_factory.getbasetemp().parent / "compiled"  # of all processes of the tests
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(compiled))
        # Each process that compiles would try what the compiler can do, which takes 10 s.
        patch.setenv("TORCHINDUCTOR_VEC_ISA_OK", "1")
        patch.setattr(tempfile, "tempdir", str(folder))
        yield


@pytest.fixture(autouse=True, scope="session")
def plain_environment() -> Iterator[None]:
    """The width, the colours and the CI of whoever runs the tests change nothing in them."""
    names = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def hang_up_is_heard() -> None:
    """The tests may run under nohup, which ignores it for all its children."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def no_process_left() -> Iterator[None]:
    """After all tests no worker is alive."""
    yield
    left = [p.cmdline() for p in psutil.Process().children(recursive=True)]
    assert not [words for words in left if "attn_bench.worker" in " ".join(words)]
