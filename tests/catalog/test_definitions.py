"""Where a module is defined is found in the text of the user's files, without running them."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import ROOT

from attn_bench.catalog.definitions import Definition, find_definitions

MINE = '''"""A module that cannot be imported."""
import no_such_package
from attn_bench import register

@register("mine", extents=[2])
class Mine:
    pass

@register("made")
def make(channels):
    "\\d"

attn_bench.register("called")(Mine)
for name in ("looped",):
    register(name)(Mine)
'''


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path


def test_a_class_a_factory_and_a_call(repository: Path) -> None:
    """The line is that of the class or the function; the file is from the repository's root."""
    found = find_definitions({"mine", "made", "called"}, ["../mine.py"])
    lines = MINE.splitlines()
    assert {name: lines[place.line - 1] for name, place in found.items()} == {
        "mine": "class Mine:",
        "made": "def make(channels):",
        "called": 'attn_bench.register("called")(Mine)',
    }
    assert {place.file for place in found.values()} == {"mine.py"}


def test_a_package_is_searched(repository: Path) -> None:
    """A module in a file below the package is found; a file with a wrong syntax is left out."""
    package = repository / "my_pkg"
    (package / "gates").mkdir(parents=True)
    (package / "__init__.py").write_text("from .gates import mine\n")
    (package / "bad.py").write_text("def (:\n")
    (package / "gates" / "mine.py").write_text(MINE)
    found = find_definitions({"mine"}, [str(package)])
    assert found == {"mine": Definition("my_pkg/gates/mine.py", 6)}


def test_a_name_that_the_text_does_not_show_has_the_file(repository: Path) -> None:
    """If one file is named, it is that one; of two files, neither is guessed."""
    assert find_definitions({"looped"}, ["../mine.py"]) == {"looped": Definition("mine.py", 1)}
    (repository / "other.py").write_text("")
    assert find_definitions({"looped"}, ["../mine.py", "../other.py"]) == {}
    assert find_definitions({"looped"}, ["../gone.py"]) == {}


def test_a_built_in_module_has_its_place_in_its_own_repository(
    monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    """The built-ins are found by their import paths; elsewhere they are not in the repository."""
    assert find_definitions({"se"}, []) == {}
    monkeypatch.chdir(ROOT)
    place = find_definitions({"se"}, [])["se"]
    assert place.file == "modules/references.py"
    line = (ROOT / place.file).read_text(encoding="utf-8").splitlines()[place.line - 1]
    assert line.startswith(("def se(", "class se("))


def test_outside_a_repository_nothing_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path from the root needs a root."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    assert find_definitions({"mine"}, ["mine.py"]) == {}
