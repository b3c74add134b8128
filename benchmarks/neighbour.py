"""Keeps one core busy at random times: the neighbour of the accuracy benchmarks.

    python benchmarks/neighbour.py     runs until it is killed

It spins and sleeps in turn. Both times follow an exponential distribution with a mean of 0.3 s.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

MEAN_S = 0.3


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Keep the neighbour busy inside this context."""
    with subprocess.Popen([sys.executable, __file__]) as process:
        try:
            yield
        finally:
            process.kill()


def main() -> None:
    while True:
        until = time.monotonic() + random.expovariate(1 / MEAN_S)
        while time.monotonic() < until:
            pass
        time.sleep(random.expovariate(1 / MEAN_S))


if __name__ == "__main__":
    main()
