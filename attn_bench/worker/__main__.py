"""The worker process, which loads torch.

    python -m attn_bench.worker     reads requests on standard input, answers on standard output

It makes no decisions. If a module under test raises, that is a result. If it prints, the text goes
to standard error. If it crashes or hangs, the coordinator handles that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO

from attn_bench.model import protocol
from attn_bench.worker.bench import Bench, open_bench
from attn_bench.worker.intruders import adopt_orphans


def die_with_parent() -> None:
    """Make the kernel kill this worker, which may hang, if its coordinator dies (Linux only)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def own_streams() -> tuple[BinaryIO, BinaryIO]:
    """The streams of the protocol, separated from the prints of the code under test."""
    messages, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return messages, replies


def main() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator handles Ctrl-C
    adopt_orphans()
    messages, replies = own_streams()
    files = (0, 1, 2, messages.fileno(), replies.fileno())
    bench: Bench | None = None
    for line in messages:
        message = protocol.decode(line)
        reply: protocol.Reply
        if isinstance(message, protocol.Quit):
            return
        if isinstance(message, protocol.Open):
            bench, reply = open_bench(message, files)
        elif bench is None:
            continue  # opening failed, and the reply stated the reason
        else:
            reply = bench.answer(message)  # type: ignore[arg-type]
        replies.write(protocol.encode(reply))
        replies.flush()


if __name__ == "__main__":
    main()
