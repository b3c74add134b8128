"""The page of all modules names each one, and what is written by hand belongs to a module."""

from __future__ import annotations

import tomllib

from program import ROOT

from attn_bench.catalog.registry import builtin
from benchmarks.modules_page import ABOUT, FIRST

NAMES = {entry.name for entry in builtin()}


def test_the_page_names_every_module() -> None:
    """docs/modules.md has a line for each registered module; `modules_page.py` writes it."""
    _, _, table = (ROOT / "docs" / "modules.md").read_text(encoding="utf-8").partition(FIRST)
    cells = {line.split("`")[1].partition("(")[0] for line in table.splitlines()[2:]}
    assert cells == NAMES


def test_every_note_by_hand_is_of_a_module() -> None:
    """Year, formula and licence are those of registered modules, each with a licence or a year."""
    about = tomllib.loads(ABOUT.read_text(encoding="utf-8"))
    assert about.keys() == NAMES
    assert all(entry.keys() <= {"year", "formula", "licence"} for entry in about.values())
