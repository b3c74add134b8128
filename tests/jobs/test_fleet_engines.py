"""The engines that need no cluster: this host, and submitit's own executor in place of SLURM."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from inside import inside

from attn_bench.jobs.fleet.engines.base import Engine, Work
from attn_bench.jobs.fleet.engines.local import LocalEngine
from attn_bench.jobs.fleet.engines.slurm import SlurmEngine
from attn_bench.jobs.fleet.start import make_engine
from attn_bench.model.errors import RequestError
from attn_bench.model.status import Exit

WAIT_S = 60.0


def ended(engine: Engine) -> tuple[Work, ...]:
    """All works, when they are over."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        seen = engine.poll()
        if all(work.is_over for work in seen):
            return seen
        time.sleep(0.1)
    raise AssertionError(seen)


def test_the_local_engine_runs_a_command_here() -> None:
    """It has the status and the last line, and refuses to look for devices."""
    engine = LocalEngine()
    engine.start("", ("list", "suite"))
    (work,) = ended(engine)
    assert (work.state, work.status) == ("ended", 2)
    assert work.last_line.startswith("error:")
    with pytest.raises(RequestError, match="drop --devices"):
        engine.count_hosts("H200")
    engine.stop()


def test_the_local_engine_interrupts_what_runs() -> None:
    """`stop` returns when the process has ended, and `give_up` kills it."""
    engine = LocalEngine()
    for _ in range(2):
        engine.start("", ("verify", "se"))
    engine.give_up(1, "no beats")
    engine.stop()
    interrupted, killed = engine.poll()
    assert interrupted.is_over
    assert interrupted.status != Exit.GOOD
    assert (killed.state, killed.last_line) == ("lost", "no beats")
    children = [p.cmdline() for p in psutil.Process().children(recursive=True)]
    assert not [words for words in children if "verify" in words]


def test_slurm_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where to start it; options of sbatch belong to this engine."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RequestError, match="no srun on this host"):
        make_engine("slurm", 120.0, {})
    with pytest.raises(RequestError, match="--slurm is for --engine slurm"):
        make_engine("local", 120.0, {"partition": "gpu"})


def test_a_cluster_that_does_not_answer_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray would try for minutes. The message says how a host is offered."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(RequestError, match=r"no cluster answers .*refused.*measuring_host"):
        make_engine("ray", 120.0, {})


def test_a_work_that_a_signal_ended_is_lost() -> None:
    """The engine tells which signal, and another `work` may replace it."""
    engine = LocalEngine()
    engine.start("", ("verify", "se"))
    (process,) = (p for p in psutil.Process().children() if "verify" in p.cmdline())
    process.kill()
    (work,) = ended(engine)
    assert (work.state, work.status, work.last_line) == ("lost", None, "a signal ended it: Killed")
    engine.stop()


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("in_a_folder")
def test_submitit_runs_a_command_and_brings_its_status() -> None:
    """The job is pickled, runs in a process of submitit, and returns what the command printed."""
    engine = SlurmEngine({"partition": "gpu"}, cluster="local")
    assert engine.count_hosts("H200") is None
    engine.start("", ("list", "suite"))
    (work,) = ended(engine)
    assert (work.state, work.status) == ("ended", 2)
    assert work.host
    assert work.last_line.startswith("error:")
    engine.stop()


@pytest.mark.usefixtures("in_a_folder")
def test_sbatch_gets_a_node_alone_and_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file for sbatch asks for the whole node; --slurm and --devices are in it."""
    from submitit.slurm import slurm

    monkeypatch.setattr(slurm.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    written: list[str] = []

    def submit(self: slurm.SlurmExecutor, command: str) -> slurm.SlurmJob[object]:
        written.append(self._make_submission_file_text(command, "0"))
        return slurm.SlurmJob(self.folder, "1")

    monkeypatch.setattr(slurm.SlurmExecutor, "_submit_command", submit)
    monkeypatch.setattr(slurm.utils.JobPaths, "move_temporary_file", lambda *_: None)
    engine = SlurmEngine({"time": "60", "gres": "gpu:1"})
    engine.start("H200", ("work", "store"))
    lines = written[0].splitlines()
    for option in (
        *("exclusive", "mem=0", "time=60", "gres=gpu:1", "constraint=H200", "nodes=1"),
        *("signal=TERM@120", "ntasks-per-node=1"),
    ):
        assert lines.count(f"#SBATCH --{option}") == 1
    assert not [line for line in lines if "cpus-per-task" in line or "--time=5" in line]
    assert "--cpu-bind=none" in written[0]


def test_a_fleet_without_a_host_leaves_no_plan(tmp_path: Path) -> None:
    """A later `work` would take it up."""
    words = ("--suite", "smoke", "--store", "store", "--engine", "local", "--devices", "H100")
    done = inside("fleet", *words, cwd=tmp_path)
    assert done.returncode == Exit.BAD_REQUEST
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "store").exists()
