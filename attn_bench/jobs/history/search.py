"""Searches the commit between two others at which something changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# Where a commit lies: before the change, after it, or nobody can say.
Side = Literal["before", "after", "unknown"]


@dataclass
class Search:
    """A bisection that goes around commits about which nothing is known.

    count: the number of commits; the first lies before the change, the last after it.
    """

    count: int
    before: int = 0
    after: int = field(init=False)
    sides: dict[int, Side] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.after = self.count - 1

    def next(self) -> int | None:
        """The commit to ask next: the one nearest to the middle; None if none is left.

        >>> Search(5).next()
        2
        """
        open_ = [at for at in range(self.before + 1, self.after) if at not in self.sides]
        middle = (self.before + self.after) / 2
        return min(open_, key=lambda at: abs(at - middle), default=None)

    def tell(self, at: int, side: Side) -> None:
        """Take the answer for a commit."""
        self.sides[at] = side
        if side == "before":
            self.before = at
        elif side == "after":
            self.after = at

    @property
    def is_found(self) -> bool:
        """Whether no commit lies between those before and after the change."""
        return self.after - self.before == 1
