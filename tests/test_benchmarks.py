"""The scripts in benchmarks/ keep up with the code; running them is `make soak`, or by hand."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from program import ROOT
from rows import network

from attn_bench.model.metrics import METRIC
from attn_bench.model.row import Row

SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))
EVIL_SHARED = ("gate", "spinning")
EVIL_FILES = [
    f for f in sorted((ROOT / "benchmarks" / "evil").glob("*.py")) if f.stem not in EVIL_SHARED
]
IN_A_STRING = re.compile(r"^from (attn_bench[\w.]*) import (\w+)$", re.MULTILINE)


def imported(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of all that is taken from the package: in functions and in strings, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("attn_bench"):
            yield from ((str(node.module), alias.name) for alias in node.names)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from IN_A_STRING.findall(node.value)


def loaded(script: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as a module; nothing of it runs."""
    monkeypatch.syspath_prepend(script.parent)
    spec = importlib.util.spec_from_file_location(f"benchmark_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be loaded, has a `main` if it is run, and every name that it imports exists."""
    module = loaded(script, monkeypatch)
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


@pytest.mark.parametrize("file", EVIL_FILES, ids=lambda path: path.stem)
def test_an_evil_module_has_the_name_of_its_file(file: Path) -> None:
    """It says in one sentence what it does, and registers the name that the script asks for."""
    source = file.read_text(encoding="utf-8")
    assert re.fullmatch(r"[^\n]+\.", ast.get_docstring(ast.parse(source)) or "")
    assert re.findall(r'register\("(\w+)"\)', source) == [file.stem]


def row(module: str, latency_us: float | None, ratio: float | None = 4.0, **cells: object) -> Row:
    """Made up, each figure known to ± 2 %."""
    figures: dict[str, object] = {}
    for name, value in (("latency_us", latency_us), ("ratio", ratio)):
        ends = (METRIC[name].lo, METRIC[name].hi)
        factors = (0.98, 1.02)
        figures[name] = value
        figures |= {str(end): value and value * by for end, by in zip(ends, factors, strict=True)}
    return replace(network(module, 4.0), **{**figures, **cells})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "said", "expected"),
    [
        ([row("se", 101.0)], (), "unharmed"),
        ([row("se", 101.0, latency_hi_us=900.0)], (), "undecided"),
        ([row("se", 120.0)], (), "HARMED IN SILENCE"),
        ([row("se", 100.0, 3.0)], (), "HARMED IN SILENCE"),
        ([row("se", 100.0, macs=1)], (), "HARMED IN SILENCE"),
        ([row("se", 120.0)], ("other_load",), "HARMED IN SILENCE"),  # innocent runs have it, too
        ([row("se", 120.0)], ("the number of threads changed",), "said"),
        ([row("se", None, None, status="failed", error="not as before")], ("s",), "said"),
        ([row("se", None, None, status="skipped", error="the budget was spent")], ("s",), "LOST"),
        ([], (), "LOST"),
    ],
)
def test_the_verdict_on_an_evil_module(
    rows: list[Row], said: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure must agree with the innocent runs, or the run must give a reason of its own."""
    script = loaded(ROOT / "benchmarks" / "evil_modules.py", monkeypatch)
    innocent = [
        script.Seen(0, {"se": row("se", latency_us)}, ("other_load",))
        for latency_us in (98.0, 100.0, 103.0)
    ]
    seen = script.Seen(0, {each.module: each for each in rows}, said)
    assert script.verdict(seen, innocent) == expected


def test_a_module_that_ends_is_not_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash or the error of the evil module does not explain the figures of another."""
    script = loaded(ROOT / "benchmarks" / "evil_modules.py", monkeypatch)
    errors = {
        "the worker process was killed by SIGSEGV": False,
        "no answer within 20 s": False,
        "call: RuntimeError: no more (raises.py:14)": False,
        "changed the number of threads from 2 to 1": True,
    }
    info = SimpleNamespace(notes={}, warnings=["warm_up_drift"])
    for error, is_reason in errors.items():
        rows = [row("evil", None, None, status="failed", error=error)]
        assert bool(list(script.reasons(rows, info))) == is_reason
