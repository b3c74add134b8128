"""The digests of the code that figures come from."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attn_bench.catalog import code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of one's own on the path, with a file that is not imported and a C++ file."""
    folder = tmp_path / "their_layers"
    folder.mkdir()
    for name, text in (("__init__.py", "from . import core\n"), ("core.py", ""), ("lazy.py", "")):
        (folder / name).write_text(text)
    (folder / "kernel.cpp").write_text("int one;\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("their_layers")]:
        del sys.modules[name]


def test_what_a_process_loads_is_its_code(package: Path) -> None:
    """Each module that is not installed is found by its name; json and pytest are not there."""
    loaded = code.Loaded()
    importlib.import_module("their_layers")
    importlib.import_module("xml.dom.minidom")
    assert loaded.look().keys() == {"their_layers", "their_layers.core"}
    assert loaded.look() == {}
    assert loaded.digests.keys() >= {"attn_bench.modules", "their_layers"}


@pytest.mark.parametrize("changed", ["core.py", "lazy.py", "kernel.cpp"])
def test_a_change_of_any_file_is_seen(package: Path, changed: str) -> None:
    """A file that is imported, one that is only looked for, and a native source beside them."""
    importlib.import_module("their_layers")
    names = ["their_layers", "their_layers.core", "their_layers.lazy"]
    before = code.Loaded().find(names)
    (package / changed).write_text("# changed\n")
    after = code.Loaded().find(names)
    assert code.first_difference(before, before) is None
    assert code.first_difference(before, after) is not None
    assert code.hash_of(before) != code.hash_of(after)
    assert "their_layers.lazy" not in sys.modules


def test_a_file_that_is_gone_is_a_difference(package: Path) -> None:
    """What a figure came from and is there no longer has changed."""
    before = code.Loaded().find(["their_layers.lazy"])
    (package / "lazy.py").unlink()
    importlib.invalidate_caches()
    after = code.Loaded().find(before)
    assert code.first_difference(before, after) == "their_layers.lazy"


def test_what_torch_compiles_is_no_code_of_a_user(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that lies in no package that exists is left out: torch.compile makes such."""
    loaded = code.Loaded()
    made = importlib.util.module_from_spec(
        importlib.util.spec_from_file_location("c4lgn7.kernel", package / "core.py")  # type: ignore[arg-type]
    )
    monkeypatch.setitem(sys.modules, "c4lgn7.kernel", made)
    assert loaded.look() == {}


def test_a_module_keeps_the_digest_of_what_was_loaded(package: Path) -> None:
    """A file that is edited after it was imported is still the old code in this process."""
    loaded = code.Loaded()
    importlib.import_module("their_layers")
    before = loaded.look()["their_layers.core"]
    (package / "core.py").write_text("# edited while it measures\n")
    assert loaded.find(["their_layers.core"])["their_layers.core"] == before
