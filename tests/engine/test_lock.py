"""One run at a time measures on a host."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from inside import RealFacts, inside, steady
from program import Cli

from attn_bench.engine.lock import hold_host
from attn_bench.engine.progress import Unseen
from attn_bench.model.errors import RequestError

HOLDER = """\
import sys
from attn_bench.engine.lock import hold_host
from attn_bench.engine.progress import Unseen
with hold_host("cpu", ["run", "--suite", "theirs"], Unseen(), wait=False):
    print("held", flush=True)
    sys.stdin.read()
"""
RUN = ("run", "--suite", "smoke", "--device", "cpu")


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process that measures until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.communicate()


def hold(device: str) -> None:
    with hold_host(device, ["check"], Unseen(), wait=False):
        pass


def test_a_second_run_names_the_first(holder: subprocess.Popen[str], cli: Cli) -> None:
    """It ends with status 2 before it starts a worker, and says who measures."""
    script = RealFacts(steady)
    done = cli(*RUN, script=script)
    assert done.returncode == 2
    assert f"(pid {holder.pid}, attn-bench run --suite theirs, since " in done.stderr
    assert "--wait waits until it has ended" in done.stderr
    assert not script.workers


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--suite", "smoke", "--against-python", sys.executable),
        ("recommend", "--shape", "8x8x8"),
        ("selfcheck", "--minutes", "0.1"),
    ],
)
def test_every_command_that_times_holds_the_host(
    holder: subprocess.Popen[str], cli: Cli, words: tuple[str, ...]
) -> None:
    """None of them measures beside another."""
    done = cli(*words, "--device", "cpu")
    assert done.returncode == 2
    assert "another run measures on this machine" in done.stderr


def test_what_does_not_time_does_not_ask(holder: subprocess.Popen[str], cli: Cli) -> None:
    """`list`, and a plan, are answered beside a run."""
    assert cli("list").returncode == 0
    assert cli(*RUN, "--dry-run").returncode == 0


def test_a_run_can_wait(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    """With --wait it says whom it waits for, and begins when that has ended."""
    done: list[subprocess.CompletedProcess[str]] = []
    threading.Timer(0.5, holder.kill).start()  # a lock ends with its process
    done.append(inside(*RUN, "--wait", cwd=tmp_path))
    assert done[0].returncode == 0, done[0].stderr
    assert f"waiting for pid {holder.pid}, attn-bench run --suite theirs" in done[0].stderr


def test_a_wait_can_be_interrupted(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    """Ctrl-C while it waits ends it with status 130."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), 2))
    timer.start()
    assert inside(*RUN, "--wait", cwd=tmp_path).returncode == 130


@pytest.mark.parametrize(
    ("first", "second", "is_free"),
    [
        ("cpu", "cpu", False),
        ("cpu", "auto", False),
        ("cpu", "cuda", False),
        ("cuda", "cpu", False),
        ("cuda", "cuda:0", False),
        ("cuda:0", "cuda:1", True),
    ],
)
def test_who_can_measure_beside_whom(first: str, second: str, is_free: bool) -> None:
    """A CPU is measured alone; two GPUs are measured at once, one GPU is not."""
    with hold_host(first, ["run"], Unseen(), wait=False):
        if is_free:
            hold(second)
        else:
            with pytest.raises(RequestError, match="another run measures"):
                hold(second)
    hold(second)


def test_the_holder_that_is_named_holds_it() -> None:
    """A run that has ended is not named; nor is one on a CPU where GPUs share the host."""
    with hold_host("cpu", ["run", "--suite", "ended"], Unseen(), wait=False):
        pass
    with (
        hold_host("cuda:0", ["run"], Unseen(), wait=False),
        pytest.raises(RequestError, match="a run on a GPU"),
    ):
        hold("cpu")


def test_one_gpu_under_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that CUDA_VISIBLE_DEVICES renames is the same one."""
    with hold_host("cuda:1", ["run"], Unseen(), wait=False):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        with pytest.raises(RequestError):
            hold("cuda")


def test_a_place_where_no_lock_can_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A link, a folder or nothing in its place does not keep anybody from measuring."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    hold("cpu")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    target = tmp_path / "target"
    (tmp_path / "attn-bench-host.lock").symlink_to(target)
    hold("cpu")
    assert not target.exists()
    began = time.monotonic()
    (tmp_path / "attn-bench-host.lock").unlink()
    os.mkfifo(tmp_path / "attn-bench-host.lock")
    hold("cpu")
    assert time.monotonic() - began < 60  # it does not wait for the other end of a pipe
