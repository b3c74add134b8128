"""The process that holds torch.

    python -m attn_bench.worker     reads requests on standard input, answers on standard output

It decides nothing. A module under test may raise: that is a result. It may print: its standard
output goes to standard error. It may crash or hang: the coordinator handles that.
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
    """The two ends of the protocol, out of reach of what the code under test prints."""
    messages, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return messages, replies


def main() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    messages, replies = own_streams()
    bench: Bench | None = None
    for line in messages:
        message = protocol.decode(line)
        reply: protocol.Reply
        if isinstance(message, protocol.Quit):
            return
        if isinstance(message, protocol.Open):
            bench, reply = open_bench(message)
        elif bench is None:
            continue  # it could not be opened, and the reply said so
        else:
            reply = bench.answer(message)  # type: ignore[arg-type]
        replies.write(protocol.encode(reply))
        replies.flush()


if __name__ == "__main__":
    main()
