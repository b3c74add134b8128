"""Changes where the input and the output of a case lie, from round to round.

A cache serves some places of memory better than others. A process that keeps one place measures its
luck; one that changes it averages over several (benchmarks/placement.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from attn_bench.worker.build import Built, Cache

PLACES = 4
MOST_BYTES = 2**25  # of an input; larger ones stay in place, as copies take too much memory
KEPT_BYTES = 2**28


class Places:
    """Copies of the inputs, each in another place."""

    def __init__(self) -> None:
        self._copies = Cache(KEPT_BYTES)

    @contextmanager
    def at(self, built: Built, number: int) -> Iterator[None]:
        """Inside, the input of `built` lies in one of PLACES places; `number` chooses it.

        Memory taken meanwhile moves the output to another place as well.
        """
        x, place = built.x, number % PLACES
        moved = None if place == 0 or x.nbytes > MOST_BYTES else self._move(built, place)
        if moved is None:
            yield
            return
        usual, (x.data, taken) = x.data, moved
        try:
            yield
        finally:
            x.data = usual
            del taken

    def _move(self, built: Built, place: int) -> tuple[Tensor, Tensor] | None:
        """The input in another place, and memory before the output; None if memory is short."""
        key, x = (place, *built.case.input_key), built.x.data
        try:
            copy = self._copies.get(key, x.clone, lambda made: made.nbytes)
            return copy, torch.empty(place * x.nbytes, dtype=torch.uint8, device=x.device)
        except (RuntimeError, MemoryError):  # an allocation beyond --memory
            self._copies.forget()
            return None
