"""Worker processes: of another interpreter, that print without end, that close what they need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from program import ROOT

from attn_bench.engine.pair import WorkerPair
from attn_bench.engine.process import PRINTS_BYTES, Worker, WorkerLost
from attn_bench.model import protocol
from attn_bench.model.case import Case, Shape, Variant

TALKATIVE = """
import os, sys
from torch import nn
from attn_bench import register

@register("talks")
class Talks(nn.Identity):
    def forward(self, x):
        for _ in range(9):
            os.write(2, b"and on it goes\\n" * 2**12)
        return x.clone()

@register("gives_up")
class GivesUp(nn.Identity):
    def forward(self, x):
        os.write(2, b"a line\\nthe reason\\nUSDT:2026-11-24 ActivityProfilerController.cpp:45]\\n")
        os._exit(3)

def write_everywhere(content):
    for file in range(3, 20):
        try:
            os.write(file, content)
        except OSError:
            pass

@register("garbles")
class Garbles(nn.Identity):
    def forward(self, x):
        write_everywhere(b'{"kind": "timed"}\\n')
        return x.clone()

@register("answers_something_else")
class AnswersSomethingElse(nn.Identity):
    def forward(self, x):
        write_everywhere(b'{"kind": "loaded"}\\n')
        return x.clone()

@register("never_ends")
class NeverEnds(nn.Identity):
    def forward(self, x):
        for _ in range(9):
            write_everywhere(b"x" * 2**23)
        return x.clone()

@register("closes")
class Closes(nn.Identity):
    def forward(self, x):
        os.closerange(3, 100)
        return x.clone()
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker that is open and knows the modules of TALKATIVE."""
    (tmp_path / "mine.py").write_text(TALKATIVE)
    found = Worker(protocol.Open(protocol.VERSION, "cpu", 1, [str(tmp_path / "mine.py")]))
    try:
        found.open()
        yield found
    finally:
        found.end()


def inspect(module: str) -> protocol.Inspect:
    return protocol.Inspect(Case(Variant(module), Shape(1, 8, 4, 4)))


def test_what_a_module_prints_fills_neither_disk_nor_memory(worker: Worker) -> None:
    """A worker prints into a pipe, and the coordinator keeps the end; it tells why it ended."""
    assert str(Path(f"/proc/{worker.pid}/fd/2").readlink()).startswith("pipe:")
    assert isinstance(worker.ask(inspect("talks"), 120), protocol.Inspected)
    assert len(worker._printed) == PRINTS_BYTES
    with pytest.raises(WorkerLost, match=r"ended with status 3: the reason$"):
        worker.ask(inspect("gives_up"), 120)


def test_a_module_that_closes_every_file_loses_its_worker(worker: Worker) -> None:
    """The coordinator learns of it long before the timeout."""
    with pytest.raises(WorkerLost) as lost:
        worker.ask(inspect("closes"), 300)
    assert lost.value.status == "failed"


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("garbles", "sent something else than an answer"),
        ("answers_something_else", "sent something else than an answer"),
        ("never_ends", "sent an answer without an end"),
    ],
)
def test_what_a_module_writes_to_the_pipe_is_no_answer(
    worker: Worker, module: str, reason: str
) -> None:
    """Only an answer to the request is taken for one; memory does not fill."""
    with pytest.raises(WorkerLost, match=reason):
        worker.ask(inspect(module), 30)


def test_workers_that_live_at_once_share_the_memory(worker: Worker) -> None:
    """Four may take no more than the machine has, and the workers after it have the same limit."""
    worker.share_memory(4)
    limit, process = worker.opening.memory_bytes, psutil.Process(worker.pid)
    assert limit is not None
    assert 0 < limit - process.memory_info().data < psutil.virtual_memory().total / 4
    assert process.rlimit(psutil.RLIMIT_DATA)[0] == limit
    worker.share_memory(2)
    assert worker.opening.memory_bytes == limit


def test_a_pair_answers_from_both_interpreters(tmp_path: Path) -> None:
    """The baseline is answered by the other interpreter, which finds this package by a link."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import attn_bench\nfrom torch import nn\n"
        "@attn_bench.register('mine')\nclass Mine(nn.Module):\n"
        "    def __init__(self, channels): raise RuntimeError(attn_bench.__file__)\n"
    )
    opening = protocol.Open(protocol.VERSION, "cpu", 1, [str(mine)])
    other = str(Path(sys.executable).parent / ".." / "bin" / Path(sys.executable).name)
    pair = WorkerPair(Worker(opening), Worker(opening, python=other))
    try:
        hello = pair.open()
        assert pair.baseline_hello == hello
        case = Case(Variant("mine"), Shape(1, 8, 4, 4))
        for asked, home in ((case, f"{ROOT}/attn_bench/"), (case.baseline, "/attn-bench-")):
            reply = pair.ask(protocol.Inspect(asked), 300)
            assert isinstance(reply, protocol.Failure)
            assert home in reply.error
    finally:
        pair.end()
