"""Where a user sees what happens: the engine reports here, the console draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def stage(self, title: str, total: float, unit: str) -> None:
        """A new stage begins, of `total` cases or seconds."""

    def step(self, done: float, doing: str, known: str = "") -> None:
        """`done` of the total; `doing` is measured now; `known` says how precise it is by now."""


class Unseen:
    """Nobody watches."""

    def stage(self, title: str, total: float, unit: str) -> None:
        pass

    def step(self, done: float, doing: str, known: str = "") -> None:
        pass
