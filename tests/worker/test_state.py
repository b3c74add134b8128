"""What a module changes for its whole process is put back and told; what it leaves spoils it."""

from __future__ import annotations

import builtins
import gc
import hashlib
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from program import Cli
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode

from attn_bench.catalog.registry import builtin
from attn_bench.engine.process import Worker, WorkerLost
from attn_bench.model import protocol
from attn_bench.model.axes import Execution, Mode
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.store import runs
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.bench import open_bench
from attn_bench.worker.intruders import Intruders
from attn_bench.worker.state import State


def _slow(*_: object, **__: object) -> None:
    """What a module may put in another function's place."""


def _set(owner: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, _slow)


_entered: list[Any] = []


def _enter(context: Any) -> None:
    """Enter it, and never leave it."""
    _entered.append(context)
    context.__enter__()


def _fewer_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))


CHANGES: dict[str, Callable[[], object]] = {
    "changed the number of threads from 2 to 3": lambda: torch.set_num_threads(3),
    "changed the default dtype from torch.float32 to torch.float64": lambda: (
        torch.set_default_dtype(torch.float64)
    ),
    "changed the default device from None to meta": lambda: torch.set_default_device("meta"),
    "changed the recording of gradients from True to False": lambda: torch._C._set_grad_enabled(
        False
    ),
    "changed the mode of inference from False to True": lambda: _enter(torch.inference_mode()),
    "changed mkldnn.enabled from True to False": lambda: torch._C._set_mkldnn_enabled(False),
    "changed cudnn.benchmark from False to True": lambda: torch._C._set_cudnn_benchmark(True),
    "changed the float32 matmul precision from highest to medium": lambda: (
        torch.set_float32_matmul_precision("medium")
    ),
    "changed deterministic algorithms from (False": lambda: torch.use_deterministic_algorithms(
        True
    ),
    "changed the flushing of denormal numbers from False to True": lambda: torch.set_flush_denormal(
        True
    ),
    "changed autocast on cpu from False to True": lambda: _enter(torch.autocast("cpu")),
    "changed the modes for functions": lambda: _enter(TorchFunctionMode()),
    "changed flash attention from True to False": lambda: torch.backends.cuda.enable_flash_sdp(
        False
    ),
    "changed the fast path of multi-head attention": lambda: (
        torch.backends.mha.set_fastpath_enabled(False)
    ),
    "changed the hooks of all modules": lambda: register_module_forward_hook(lambda *_: None),
    "changed the interval timers": lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 3600),
    "changed the signal handlers": lambda: signal.signal(signal.SIGUSR1, _slow),
    "changed the garbage collector from (True": gc.disable,
    "changed the callbacks of the garbage collector": lambda: gc.callbacks.append(_slow),
    "changed the profile function": lambda: sys.setprofile(_slow),
    "changed the recursion limit": lambda: sys.setrecursionlimit(12_345),
    "changed the switch interval": lambda: sys.setswitchinterval(0.001),
    "changed the current folder": lambda: os.chdir("/"),
    "changed the environment variables": lambda: os.environ.update(OMP_NUM_THREADS="7", X="y"),
    "changed the limits of resources": _fewer_files,
    "replaced time.perf_counter_ns": _set(time, "perf_counter_ns"),
    "replaced builtins.len": lambda: setattr(builtins, "len", lambda x: x.__len__()),
    "changed which warnings are errors": lambda: warnings.simplefilter("error"),
    "replaced math.sqrt": _set(math, "sqrt"),
    "replaced torch.exp": lambda: setattr(torch, "exp", torch.ones(3)),
    "replaced Tensor.sigmoid": _set(torch.Tensor, "sigmoid"),
    "replaced torch.conv2d": _set(torch, "conv2d"),
    "replaced torch.nn.functional.relu": _set(nn.functional, "relu"),
    "replaced Conv2d.forward": _set(nn.Conv2d, "forward"),
    "replaced Module.__call__": _set(nn.Module, "__call__"),
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    found = State()
    try:
        yield found
    finally:
        found.put_back()
        torch.set_num_threads(threads)


@pytest.mark.parametrize("expected", CHANGES)
def test_what_is_changed_is_put_back_and_told(state: State, expected: str) -> None:
    """One note names the change, and afterwards there is nothing left to put back."""
    state.accept()  # pytest has set a variable of the environment
    CHANGES[expected]()
    change = state.put_back()
    assert change.trouble is None
    assert any(note.startswith(expected) for note in change.notes), change.notes
    assert all(note.endswith("; put back") for note in change.notes)
    assert state.put_back().notes == ()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds threads")
def test_cores_are_put_back() -> None:
    """A module may not choose the cores of those that come after it, for any of the threads."""
    usable = os.sched_getaffinity(0)
    if len(usable) == 1:
        pytest.skip("there is one core")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(threading.get_native_id).result()
        state = State()
        for thread in (0, other):
            os.sched_setaffinity(thread, {max(usable)})
        assert state.put_back().notes == ("changed the cores that its threads may use; put back",)
        assert os.sched_getaffinity(0) == os.sched_getaffinity(other) == usable
    assert state.put_back().notes == ()  # a thread that has ended is no change


def test_what_cannot_be_put_back_spoils_the_process(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that stays after it was set is trouble, not a note."""
    (entry,) = (e for e in state._entries if e.name == "the recursion limit")
    monkeypatch.setattr(state, "_entries", [entry])
    monkeypatch.setattr(state, "_before", [entry.read() - 1])
    object.__setattr__(entry, "put_back", _slow)
    change = state.put_back()
    assert change.notes == ()
    assert change.trouble is not None
    assert change.trouble.endswith("which cannot be put back")


def test_a_compiled_function_in_place_of_another_is_put_back(state: State) -> None:
    """Only the compiler itself may replace functions of PyTorch, and only when it is called."""
    relu = nn.functional.relu
    nn.functional.relu = torch.compile(relu)
    assert "replaced torch.nn.functional.relu; put back" in state.put_back().notes
    assert nn.functional.relu is relu


def test_an_operator_of_both_versions_is_refused(tmp_path: Path) -> None:
    """A process has one operator of a name: a version would be compared with itself."""
    text = """
import torch
from torch import nn
from attn_bench import register

@torch.library.custom_op("evil_tests::scale", mutates_args=())
def scale(x: torch.Tensor) -> torch.Tensor:
    return 2 * x

register("scaled")(lambda channels: nn.Identity())
"""
    for name in ("new.py", "old.py"):
        (tmp_path / name).write_text(text)
    baseline = protocol.BaselineCode(None, [str(tmp_path / "old.py")])
    _, reply = open_bench(
        protocol.Open(
            protocol.VERSION, "cpu", 1, [str(tmp_path / "new.py")], 2**40, baseline=baseline
        )
    )
    assert isinstance(reply, protocol.Failure)
    assert "both versions define the operator evil_tests::scale" in reply.error


def test_what_imports_late_is_no_change(state: State) -> None:
    """A module of Python may get a new name, and a class what Python itself stores there."""
    state.accept()
    torch.a_new_name = 1  # type: ignore[attr-defined]
    try:
        assert nn.Conv2d.__annotations__ is not None
        assert state.put_back().notes == ()
    finally:
        del torch.a_new_name  # type: ignore[attr-defined]


# --- what stays -----------------------------------------------------------------------------------


def test_a_thread_that_runs_a_modules_code_is_found() -> None:
    """Its name is in the message; once it is known, it is not told again."""
    intruders, end = Intruders(), threading.Event()

    def wait() -> None:
        end.wait()

    thread = threading.Thread(target=wait, name="spinner")
    thread.start()
    try:
        assert intruders.find() == ["left the thread 'spinner' running"]
        assert intruders.find() == []
    finally:
        end.set()
        thread.join()


def test_the_idle_threads_of_a_pool_are_allowed() -> None:
    """Between calls they wait for work in Python's own code."""
    intruders = Intruders()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
        assert intruders.find() == []


def test_a_thread_that_works_on_is_found() -> None:
    """Whatever code it runs: it takes a core from what comes after."""
    intruders = Intruders()
    words = ("sha256", b"password", b"salt", 4_000_000)
    thread = threading.Thread(target=hashlib.pbkdf2_hmac, args=words)
    thread.start()
    try:
        assert intruders.find() == ["left a thread working"]
        assert intruders.find() == []
    finally:
        thread.join()


def test_a_child_is_found_and_killed() -> None:
    """After a call none may live on; a compiler keeps its own."""
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    intruders = Intruders()
    with subprocess.Popen(words) as child:
        try:
            assert intruders.find("compile") == []
            assert child.poll() is None
        finally:
            child.kill()
    with subprocess.Popen(words) as child:
        assert intruders.find() == ["left a process running"]
        assert not psutil.pid_exists(child.pid)


def test_a_file_that_is_closed_is_found() -> None:
    """The descriptors of the protocol must stay what they are."""
    with tempfile.TemporaryFile() as file:
        number = os.dup(file.fileno())
        intruders = Intruders([number])
        assert intruders.find() == []
        os.close(number)
        assert intruders.find() == ["closed or replaced a file that the worker needs"]


@pytest.mark.parametrize(
    ("error", "poisoned"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (torch.AcceleratorError("an illegal memory access"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (ValueError("no such width"), False),
    ],
)
def test_an_error_that_stays_poisons_the_worker(error: Exception, poisoned: bool) -> None:
    """After such an error every later call to the device fails, whoever makes it."""

    def step() -> None:
        raise error

    with pytest.raises(CaseFailed) as failed:
        attempt("call", step)
    assert failed.value.poisoned is poisoned


# --- a real worker --------------------------------------------------------------------------------

EVIL = """
import os, threading, time
import torch
from torch import nn
from attn_bench import register

torch.set_default_dtype(torch.float64)

class Copies(nn.Module):
    def __init__(self, channels): super().__init__()
    def forward(self, x):
        self.do()
        return x.clone()

@register("evil")
class Evil(Copies):
    def do(self): torch.set_num_threads(1)

@register("clock")
class Clock(Copies):
    def do(self): time.perf_counter_ns = lambda: 0

@register("victim")
class Victim(Copies):
    def do(self):
        assert torch.get_num_threads() == 2, "too few threads"
        assert torch.get_default_dtype() == torch.float32, "another dtype"

@register("forks")
class Forks(Copies):
    def do(self):
        if os.fork() == 0:
            if os.fork() == 0:
                os.setsid()
                time.sleep(600)
            os._exit(0)
        os.wait()

def spin():
    while True: pass

@register("spins")
class Spins(Copies):
    def do(self): threading.Thread(target=spin, daemon=True).start()
"""


def test_a_run_tells_what_was_changed(cli: Cli, tmp_path: Path) -> None:
    """A file that changes the process is a warning of the run; a module, a note of its row."""
    (tmp_path / "mine.py").write_text(EVIL)
    (tmp_path / "mine.toml").write_text(
        'title = "t"\n[[grid]]\nmodule = ["evil", "se"]\n[shapes]\nstages = [[8, 4, 4]]\n'
    )
    done = cli("run", "--suite", "mine.toml", "--modules-from", "mine.py", "--threads", "2")
    assert "mine.py changed the default dtype" in done.stdout + done.stderr
    (folder,) = (tmp_path / "results").iterdir()
    info = runs.load(folder).info
    assert "changed_by_files" in info.warnings
    notes = {case_id.partition("/")[0]: many for case_id, many in info.notes.items()}
    assert "changed the number of threads from 2 to 1; put back" in notes["evil"]
    assert not [note for note in notes.get("se", ()) if "put back" in note]


def case_of(module: str, execution: Execution = "eager", mode: Mode = "inference") -> Case:
    return Case(Variant(module), Shape(1, 8, 8, 8), execution=execution, mode=mode)


def open_worker(*files: Path) -> tuple[Worker, protocol.Hello]:
    worker = Worker(protocol.Open(protocol.VERSION, "cpu", 2, [str(file) for file in files]))
    return worker, worker.open()


def test_a_worker_keeps_one_module_from_changing_the_others(tmp_path: Path) -> None:
    """Its file and its calls change threads, dtype and clock: all told, and no other sees it."""
    (tmp_path / "mine.py").write_text(EVIL)
    worker, hello = open_worker(tmp_path / "mine.py")
    try:
        dtypes = "changed the default dtype from torch.float32 to torch.float64; put back"
        assert hello.changes == [f"mine.py {dtypes}"]
        threads = "changed the number of threads from 2 to 1; put back"
        inspected = worker.ask(protocol.Inspect(case_of("evil")), 120)
        assert isinstance(inspected, protocol.Inspected), inspected
        assert inspected.facts.notes[-1] == threads
        for module, notes in (
            ("evil", (threads,)),
            ("victim", ()),
            ("clock", ("replaced time.perf_counter_ns; put back",)),
            ("victim", ()),
            ("se", ()),
        ):
            timed = worker.ask(protocol.RunBlock(case_of(module), 5), 120)
            assert isinstance(timed, protocol.Timed), timed
            assert timed.notes == notes
            assert timed.timing.seconds > 0
        for module, error in (
            ("forks", "left a process running"),
            ("spins", "left the thread"),
        ):
            failed = worker.ask(protocol.RunBlock(case_of(module), 1), 120)
            assert isinstance(failed, protocol.Failure), failed
            assert error in failed.error
            assert failed.poisoned
        assert psutil.Process(worker.pid).children(recursive=True) == []
    finally:
        worker.end()


def test_the_built_in_modules_change_nothing() -> None:
    """None of them gets a note, in both modes; neither does one that is compiled, or any after."""
    cases = [
        case_of(entry.name, mode=mode) for entry in builtin() for mode in ("inference", "training")
    ]
    cases += [case_of("se", "compile")]
    cases += [case_of("se"), case_of("cbam", mode="training")]
    worker, hello = open_worker()
    try:
        assert hello.changes == []
        for case in cases:
            for request in (protocol.Inspect(case), protocol.RunBlock(case, 2)):
                reply = worker.ask(request, 300)
                if isinstance(reply, protocol.Failure):
                    assert "left a" not in reply.error, (case.id, reply.error)
                    assert "put back" not in reply.error, (case.id, reply.error)
                    assert not reply.poisoned
                elif isinstance(reply, protocol.Inspected):
                    assert not [n for n in reply.facts.notes if "put back" in n], case.id
                else:
                    assert isinstance(reply, protocol.Timed)
                    assert reply.notes == (), case.id
    except WorkerLost as lost:
        pytest.fail(str(lost))
    finally:
        worker.end()
