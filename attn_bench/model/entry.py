"""The description of a registered module; it needs no code of the module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attn_bench.model.case import Extent, Scalar

BUILTIN = "built-in"  # the origin of the modules of this repository
Extents = tuple[Extent, ...] | Literal["any", "power_of_two"]


@dataclass(frozen=True)
class Description:
    """A registered module, as a worker describes it.

    extents: None for a module without an extent; a list of extents; or a rule:
        "any" (whole numbers from 2, and global) or "power_of_two" (2, 4, 8, …, and global).
    origin: the package or file that registered it.
    probes: sets of arguments that `verify` tries.
    refuses: sets of arguments that its constructor must refuse.
    has_formula: whether `verify` has a formula to compare it with.
    """

    name: str
    extents: Extents | None = None
    paper: str | None = None
    summary: str = ""
    origin: str = BUILTIN
    probes: tuple[dict[str, Scalar], ...] = ()
    refuses: tuple[dict[str, Scalar], ...] = ()
    has_formula: bool = False

    def extents_in_words(self) -> str:
        """The extents in words: "2, 4, global"; empty for a module without an extent."""
        match self.extents:
            case None:
                return ""
            case "any":
                return "any from 2, global"
            case "power_of_two":
                return "powers of two, global"
            case listed:
                return ", ".join(str(extent) for extent in listed)

    def extent_problem(self, extent: Extent) -> str | None:
        """Why this module cannot take `extent`, and the nearest valid extent; None if it can."""
        if self.extents is None:
            return f"{self.name} takes no extent"
        if isinstance(self.extents, tuple):
            if extent in self.extents:
                return None
            return f"{self.name} is registered for extents {self.extents_in_words()}, not {extent}"
        if extent == "global":
            return None
        if extent < 2:
            return f"extent {extent} is below 2 (2 or 'global'?)"
        if self.extents == "power_of_two" and extent & (extent - 1):
            below = 1 << (extent.bit_length() - 1)
            return f"extent {extent} is not a power of two ({below} or {2 * below}?)"
        return None
