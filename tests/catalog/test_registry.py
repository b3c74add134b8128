"""One door for all modules: built-ins, files and installed packages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from program import ROOT, Cli
from torch import nn

from attn_bench.catalog.loading import load_baseline
from attn_bench.catalog.registry import (
    Entry,
    Registry,
    builtin,
    register,
    register_into,
)
from attn_bench.model.errors import RequestError
from attn_bench.model.protocol import BaselineCode

MINE = '''
from torch import nn

from attn_bench import register


@register("my_attn", extents=[2, 4], paper="arXiv:2601.00001")
class MyAttention(nn.Module):
    """Halves its input."""

    def __init__(self, channels, feat_size=None, extent=2):
        super().__init__()
        assert feat_size == (8, 8) and extent in (2, 4), (feat_size, extent)

    def forward(self, x):
        return x / 2
'''
SUITE = """
title = "mine"
budget = 1
sessions = 1

[[grid]]
module = "my_attn"
extent = [2, 4]

[shapes]
stages = [[8, 8, 8]]
"""


def test_unknown_name_is_answered_with_the_nearest() -> None:
    """A module's name that is nearly right is answered with the right one."""
    with pytest.raises(RequestError, match=r"unknown module 'ge_teta' \(did you mean 'ge_theta'\?"):
        builtin().get("ge_teta")


def test_a_name_is_taken_once() -> None:
    """A second module of the same name is refused, and both origins are named."""
    registry = builtin()
    with (
        register_into(registry, "mine.py"),
        pytest.raises(
            RequestError, match=r"mine\.py: module 'se' is already registered by built-in"
        ),
    ):
        register("se")(nn.Identity)


def test_the_decorator_gives_back_what_it_was_given() -> None:
    """A registered class is the class itself, and its docstring's first line is its summary."""
    registry = Registry()

    class Mine(nn.Module):
        """One line.

        And more.
        """

    with register_into(registry, "here"):
        assert register("mine", extents=[2, "global"])(Mine) is Mine
    assert registry.get("mine") == Entry(
        "mine", (2, "global"), summary="One line.", origin="here", target=Mine
    )


@pytest.mark.parametrize(
    ("name", "extent", "problem"),
    [
        ("ge_theta_minus", 6, None),
        ("ge_theta_minus", 1, "extent 1 is below 2"),
        ("ge_theta", 8, None),
        ("ge_theta", "global", None),
        ("ge_theta", 12, "extent 12 is not a power of two (8 or 16?)"),
        ("se", 2, "se takes no extent"),
    ],
)
def test_extents(name: str, extent: int, problem: str | None) -> None:
    """An entry knows which extents it can take, and says why not."""
    found = builtin().get(name).extent_problem(extent)
    assert (found is None) if problem is None else found.startswith(problem)  # type: ignore[union-attr]


def test_a_file_of_ones_own(cli: Cli, tmp_path: Path) -> None:
    """The ten lines of the README: a file with a module, a file with a suite, one command."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(SUITE)
    done = cli("run", "--suite", "mine.toml", "--modules-from", "mine.py", "--out", "run")
    assert done.returncode == 0, done.stderr + done.stdout
    table = done.stdout.partition("× identity")[2].partition("*")[0]
    assert "my_attn" in table
    listed = cli("list", "--modules-from", "mine.py")
    assert listed.stdout.splitlines()[-1].split() == [
        *("my_attn", "2,", "4", "arXiv:2601.00001", "Halves", "its", "input.")
    ]


def test_an_extent_it_was_not_registered_for(cli: Cli, tmp_path: Path) -> None:
    """A user's module is checked like a built-in, before anything is measured."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(SUITE.replace("[2, 4]", "8"))
    done = cli("run", "--suite", "mine.toml", "--modules-from", "mine.py")
    assert done.returncode == 2
    assert (
        "mine.toml:8: [[grid]] 1, extent: my_attn is registered for extents 2, 4, not 8"
        in done.stderr
    )


@pytest.mark.parametrize("name", ["plain", "se@base", "a b", ""])
def test_a_name_that_cannot_be_taken(name: str) -> None:
    """A name that stands for something else already, or that is no word, is refused."""
    with pytest.raises(ValueError, match="name"):
        register(name)


@pytest.mark.parametrize("target", ["their_attn", "their_attn:MyAttention"])
def test_an_installed_package_is_found_by_its_entry_point(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """A package that declares the group is listed without being imported, and measured."""
    site = tmp_path / "site"
    info = site / "their_attn-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "their_attn.py").write_text(MINE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-attn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[attn_bench.modules]\nmy_attn = {target}\n")
    (tmp_path / "mine.toml").write_text(SUITE)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "their_attn", raising=False)
    listed = json.loads(cli("list", "--json").stdout)
    assert listed[-1]["name"] == "my_attn"
    assert listed[-1]["summary"] == "declared by package their-attn"
    assert "their_attn" not in sys.modules
    done = cli("run", "--suite", "mine.toml", "--out", "run")
    assert done.returncode == 0, done.stderr + done.stdout


def test_two_versions_side_by_side() -> None:
    """Another copy of modules/ is loaded under another package name; each computes by its own."""

    registry = builtin()
    load_baseline(registry, BaselineCode(str(ROOT / "modules"), []))
    names = {entry.name for entry in registry}
    assert {"ge_theta_minus", "ge_theta_minus@base", "se@base"} <= names
    x = torch.randn(1, 8, 16, 16)
    one, other = (
        registry.get(name).build(8, (16, 16), 4)
        for name in ("ge_theta_minus", "ge_theta_minus@base")
    )
    assert type(one) is not type(other)
    assert torch.equal(one(x), other(x))
    assert torch.equal(one(x), other(x))
