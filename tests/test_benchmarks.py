"""The scripts in benchmarks/ keep up with the code; running them is `make soak`, or by hand."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import ROOT

SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))
IN_A_STRING = re.compile(r"^from (attn_bench[\w.]*) import (\w+)$", re.MULTILINE)


def imported(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of all that is taken from the package: in functions and in strings, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("attn_bench"):
            yield from ((str(node.module), alias.name) for alias in node.names)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from IN_A_STRING.findall(node.value)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be loaded, has a `main` if it is run, and every name that it imports exists."""
    monkeypatch.syspath_prepend(script.parent)
    spec = importlib.util.spec_from_file_location(f"benchmark_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    source = script.read_text(encoding="utf-8")
    assert callable(getattr(module, "main", None)) or "__main__" not in source
    for home, name in imported(source):
        found = importlib.import_module(home)
        if not hasattr(found, name):
            importlib.import_module(f"{home}.{name}")


def test_make_soak_runs_scripts_that_exist() -> None:
    """Every script that the Makefile names is in benchmarks/."""
    named = re.findall(r"benchmarks/(\w+)\.py", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert len(named) >= 3
    assert set(named) <= {script.stem for script in SCRIPTS}
