"""The process that holds torch.

    python -m attn_bench.worker     reads requests on standard input, answers on standard output

It decides nothing. A module under test may raise: that is a result. It may print: standard output
is handed to standard error before any of its code runs. It may crash or hang: the coordinator sees
to that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO

from attn_bench.model import protocol
from attn_bench.worker.bench import Bench, open_bench


def die_with_parent() -> None:
    """A worker that hangs must not outlive a coordinator that was killed (Linux only)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def own_streams() -> tuple[BinaryIO, BinaryIO]:
    """The protocol's two ends; afterwards the code under test cannot reach them by printing."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, replies


def main() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    requests, replies = own_streams()
    bench: Bench | None = None
    for line in requests:
        request = protocol.decode(line)
        reply: protocol.Reply
        if isinstance(request, protocol.Quit):
            return
        if isinstance(request, protocol.Open):
            bench, reply = open_bench(request)
        elif bench is None:
            continue  # it could not be opened, which has been said
        else:
            reply = bench.answer(request)  # type: ignore[arg-type]
        replies.write(protocol.encode(reply))
        replies.flush()


if __name__ == "__main__":
    main()
