"""Keeps cores busy: the neighbours of the accuracy benchmarks.

    python benchmarks/neighbour.py [--always]     runs until it is killed

By default it spins and sleeps in turn. Both times follow an exponential distribution with a mean of
0.3 s. With --always it never sleeps.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import inf

MEAN_S = 0.3


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Keep one core busy half of the time inside this context."""
    with _spinning():
        yield


@contextmanager
def neighbours(kind: str) -> Iterator[None]:
    """`quiet`: none. `one`: one that spins half of the time. `four`: four that always spin."""
    words = {"quiet": [], "one": [[]], "four": [["--always"]] * 4}[kind]
    with ExitStack() as stack:
        for each in words:
            stack.enter_context(_spinning(*each))
        yield


@contextmanager
def _spinning(*words: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, __file__, *words]) as process:
        try:
            yield
        finally:
            process.kill()


def load() -> str:
    """The load average of the last minute, in words."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def main() -> None:
    always = "--always" in sys.argv
    while True:
        until = inf if always else time.monotonic() + random.expovariate(1 / MEAN_S)
        while time.monotonic() < until:
            pass
        time.sleep(random.expovariate(1 / MEAN_S))


if __name__ == "__main__":
    main()
