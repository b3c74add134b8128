"""Another version of the user's code, apart from the current one in the same process."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attn_bench.catalog.other_version import OtherVersion
from attn_bench.model.errors import RequestError


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Two folders with modules of the same names; those of the first are loaded."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "their_pkg").mkdir(parents=True)
        (folder / "their_pkg/__init__.py").write_text("from .core import WHICH\n")
        for file in ("their_pkg/core.py", "their_pkg/late.py", "their_helper.py"):
            (folder / file).write_text(f"WHICH = {folder.name!r}\n")
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    importlib.import_module("their_pkg")
    importlib.import_module("their_helper")
    yield here, there
    for name in [name for name in sys.modules if name.startswith("their_")]:
        del sys.modules[name]


def which(name: str) -> Any:
    return importlib.import_module(name).WHICH


def test_each_version_imports_its_own(versions: tuple[Path, Path]) -> None:
    """Inside, all names are the other version's; outside, the current ones; late ones, too."""
    here, there = versions
    current = dict(sys.modules)
    other = OtherVersion({str(here): str(there)})
    with other.active():
        assert which("their_pkg") == which("their_pkg.core") == which("their_helper") == "there"
    assert which("their_pkg") == which("their_helper") == "here"
    assert sys.modules["their_pkg"] is current["their_pkg"]
    with other.active():
        assert which("their_pkg.late") == "there"
        first = sys.modules["their_pkg"]
    assert which("their_pkg.late") == "here"
    with other.active():
        assert sys.modules["their_pkg"] is first  # it is loaded once
    assert str(there) not in sys.path


def test_the_modules_of_the_interpreter_stay(versions: tuple[Path, Path]) -> None:
    """Installed packages are shared, also if they lie inside the user's folder."""
    here, there = versions
    other = OtherVersion({str(Path(sys.prefix).parent): str(there), str(here): str(there)})
    with other.active():
        assert sys.modules["pytest"] is pytest
        assert importlib.util.find_spec("fvcore") is not None


@pytest.mark.parametrize("inner_is_current", [True, False])
def test_one_version_inside_the_other(versions: tuple[Path, Path], inner_is_current: bool) -> None:
    """A module belongs to the version in whose folder it lies most closely."""
    here, there = versions
    here = here.rename(there / "old") if inner_is_current else here
    if inner_is_current:
        sys.path[0] = str(here)
        for name in [name for name in sys.modules if name.startswith("their_")]:
            del sys.modules[name]
        assert which("their_pkg") == "here"
    else:
        there = there.rename(here / "old")
    with OtherVersion({str(here): str(there)}).active():
        assert which("their_pkg") == which("their_helper") == "there"
    assert which("their_pkg") == which("their_helper") == "here"


def test_a_hook_that_finds_the_current_version_is_an_error(
    versions: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some editable installs come before every path: nothing is compared with itself in silence."""
    here, there = versions

    class Hook:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if name != "their_helper":
                return None
            return importlib.util.spec_from_file_location(name, here / "their_helper.py")

    monkeypatch.setattr(sys, "meta_path", [Hook, *sys.meta_path])
    with (
        pytest.raises(RequestError, match="the baseline imported their_helper of the current"),
        OtherVersion({str(here): str(there)}).active(),
    ):
        importlib.import_module("their_helper")
    assert which("their_helper") == "here"
