"""The cores that the threads of a worker may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unbound() -> Iterator[None]:
    """Inside, this thread and new ones may run on every core that the coordinator may use.

    OpenMP binds the main thread of each worker to the first core. What it starts inherits this: the
    threads of a runtime would share that core and take three times as long, and workers that
    compile side by side would take turns on it.
    """
    bound = os.sched_getaffinity(0)
    os.sched_setaffinity(0, os.sched_getaffinity(os.getppid()))
    try:
        yield
    finally:
        os.sched_setaffinity(0, bound)
