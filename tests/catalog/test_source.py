"""What a word of --modules-from names."""

from __future__ import annotations

from pathlib import Path

import pytest

from attn_bench.catalog.source import find_source
from attn_bench.model.errors import RequestError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file, a folder and a package."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "plain").mkdir()
    (tmp_path / "src/my_pkg/deep").mkdir(parents=True)
    for file in ("__init__.py", "gates.py", "deep/__init__.py", "deep/core.py"):
        (tmp_path / "src/my_pkg" / file).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("word", "module", "file", "folder"),
    [
        ("mine.py", "attn_bench_user_mine", "mine.py", "."),
        ("mine", "mine", "mine.py", "."),
        ("src/my_pkg", "my_pkg", "src/my_pkg/__init__.py", "src"),
        ("src/my_pkg/", "my_pkg", "src/my_pkg/__init__.py", "src"),
        ("src/my_pkg/__init__.py", "my_pkg", "src/my_pkg/__init__.py", "src"),
        ("src/my_pkg/gates.py", "my_pkg.gates", "src/my_pkg/gates.py", "src"),
        ("src/my_pkg/deep/core.py", "my_pkg.deep.core", "src/my_pkg/deep/core.py", "src"),
        ("src/my_pkg/deep", "my_pkg.deep", "src/my_pkg/deep/__init__.py", "src"),
        ("src.my_pkg.deep.core", "src.my_pkg.deep.core", "src/my_pkg/deep/core.py", "."),
    ],
)
def test_what_a_word_names(place: Path, word: str, module: str, file: str, folder: str) -> None:
    """A file, a package's folder and a dotted name are imported as Python imports them."""
    found = find_source(word)
    assert (found.module, found.file, found.folder) == (module, place / file, (place / folder))


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("mime.py", "--modules-from mime.py: file not found (did you mean 'mine.py'?)"),
        ("plain", "--modules-from plain: this folder has no __init__.py, so it is not a package"),
        ("notes.txt", "--modules-from notes.txt: not a Python file (its name must end in .py)"),
        ("gone/mine.py", "--modules-from gone/mine.py: file not found"),
        ("my_pkg.gates", "neither a file nor a module that can be imported"),
        ("mine.gates", "neither a file nor a module that can be imported"),
    ],
)
def test_a_word_that_names_nothing(place: Path, word: str, problem: str) -> None:
    """One line names the word, what is wrong with it, and the nearest right one."""
    with pytest.raises(RequestError) as caught:
        find_source(word)
    assert problem in str(caught.value)


def test_a_module_in_folders_without_init(place: Path) -> None:
    """A namespace package inside another is found without importing it."""
    (place / "outer/inner").mkdir(parents=True)
    (place / "outer/inner/gates.py").touch()
    assert find_source("outer.inner.gates").file == place / "outer/inner/gates.py"
