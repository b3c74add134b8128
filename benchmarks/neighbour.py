"""The busy neighbour of the accuracy benchmarks: a process that spins on one core at random.

    python benchmarks/neighbour.py     until it is ended

It spins and sleeps in turn, for times drawn from exponential distributions of 0.3 s each.
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
    """Inside, the neighbour is busy."""
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
