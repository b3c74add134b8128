"""The progress of a run: the engine reports it, and the console draws it."""

from __future__ import annotations

from typing import Protocol

from attn_bench.model.environment import Environment


class Progress(Protocol):
    def stage(self, title: str, total: float, unit: str) -> None:
        """Report that a stage of `total` cases or seconds begins."""

    def step(self, done: float, doing: str, known: str = "") -> None:
        """Report that `done` of the total is complete.

        doing: the current case. known: the precision reached, in words.
        """

    def caution(self, seen: Environment) -> None:
        """Warn before measuring if the machine has too few free cores."""


class Unseen:
    """A progress that shows nothing."""

    def stage(self, title: str, total: float, unit: str) -> None:
        pass

    def step(self, done: float, doing: str, known: str = "") -> None:
        pass

    def caution(self, seen: Environment) -> None:
        pass
