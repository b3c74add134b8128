"""A worker of another interpreter, through real processes."""

from __future__ import annotations

import sys
from pathlib import Path

from program import ROOT

from attn_bench.engine.pair import WorkerPair
from attn_bench.engine.process import Worker
from attn_bench.model import protocol
from attn_bench.model.case import Case, Shape, Variant


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
