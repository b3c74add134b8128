"""The rules of the house that no linter knows: rooms, sizes, packages, shims."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import ROOT

from attn_bench.catalog.loading import load_baseline
from attn_bench.catalog.registry import Registry
from attn_bench.model.protocol import BaselineCode

PACKAGE = ROOT / "attn_bench"
ROOMS = [
    *("model", "catalog", "analysis", "papers", "store", "worker"),
    *("plan", "engine", "jobs", "view", "cli", "plugins"),
]
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_PARAMETERS = 400, 50, 8
# Signatures that are somebody else's: timm's, and the options of a command.
WIDE = {
    "modules/gather_excite.py:__init__",
    "attn_bench/api.py:run",
    "attn_bench/api_recommend.py:recommend",
}
# Triton compiles a kernel as one function, whose parameters are what is launched.
KERNELS = "modules/ge_triton.py"


def sources() -> list[Path]:
    """The Python files of the harness, the modules and the benchmarks; links are not followed."""
    own = [file for file in PACKAGE.rglob("*.py") if not file.is_relative_to(PACKAGE / "modules")]
    return [*own, *(ROOT / "modules").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]


def functions(file: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def lines_of(function: ast.FunctionDef) -> int:
    """Its lines but for the docstring, which is documentation."""
    assert function.end_lineno is not None
    length = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        length -= first.end_lineno - first.lineno + 1
    return length


def test_every_room_has_one_sentence_and_nothing_else() -> None:
    """The rooms are those of the design, and their `__init__.py` holds a docstring alone."""
    assert sorted(ROOMS) == sorted(
        file.parent.name
        for file in PACKAGE.glob("*/__init__.py")
        if file.parent.name not in ("modules", "suites")
    )
    for room in ROOMS:
        (only,) = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")).body
        assert isinstance(only, ast.Expr)
        assert isinstance(only.value, ast.Constant)
        assert str(only.value.value).endswith(".")


def test_the_packages_of_the_wheel_are_those_of_the_tree() -> None:
    """`packages` in pyproject.toml is a list by hand, and misses no folder."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tree = {"attn_bench", "attn_bench.suites"}
    for file in [*PACKAGE.rglob("__init__.py"), *(PACKAGE / "modules").rglob("__init__.py")]:
        tree.add(".".join(file.parent.relative_to(ROOT).parts))
    assert sorted(config["tool"]["setuptools"]["packages"]) == sorted(tree)


def test_what_the_package_reads_is_in_the_wheel() -> None:
    """Every file that is not Python is covered by a pattern of package-data."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = config["tool"]["setuptools"]["package-data"]
    covered = {
        file
        for package, globs in patterns.items()
        for glob in globs
        for file in ROOT.joinpath(*package.split(".")).glob(glob)
    }
    ignored = {".py", ".pyc"}
    data = {
        file
        for file in PACKAGE.rglob("*")
        if file.is_file() and file.suffix not in ignored and "__pycache__" not in file.parts
    }
    assert data <= covered


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(ROOT)))
def test_files_functions_and_parameter_lists_are_short(file: Path) -> None:
    """No file is over 400 lines, no function over 50, no parameter list over 8."""
    name = str(file.relative_to(ROOT))
    assert file.read_text(encoding="utf-8").count("\n") <= MOST_LINES
    if name == KERNELS:
        return
    for function in functions(file):
        length = lines_of(function)
        names = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        given = [argument for argument in names if argument.arg not in ("self", "cls")]
        assert length <= MOST_LINES_OF_A_FUNCTION, f"{function.name}: {length} lines"
        if f"{name}:{function.name}" not in WIDE:
            assert len(given) <= MOST_PARAMETERS, f"{function.name}: {len(given)} parameters"


def test_modules_of_an_earlier_commit_still_load(tmp_path: Path) -> None:
    """`check --against` a commit from before the rooms loads its modules in this harness."""
    (tmp_path / "__init__.py").write_text(
        "from attn_bench.record import Scalar\n"
        "from attn_bench.registry import Extents, register\n"
        "EVEN: Extents = (2, 4)\n"
        "ARGUMENTS: dict[str, Scalar] = {}\n"
        "def register_all():\n"
        "    register('se', extents=EVEN, arguments=ARGUMENTS)(f'{__name__}.se:SE')\n",
        encoding="utf-8",
    )
    registry = Registry()
    load_baseline(registry, BaselineCode(str(tmp_path), []))
    assert [entry.name for entry in registry] == ["se@base"]


def test_an_exit_status_has_a_name() -> None:
    """No file but model/status.py spells 130."""
    for file in PACKAGE.rglob("*.py"):
        if file.name != "status.py" and not file.is_relative_to(PACKAGE / "modules"):
            assert not re.search(r"\b130\b", file.read_text(encoding="utf-8")), file
