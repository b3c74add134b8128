"""A figure belongs to its code, also where a user's module consists of several files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from inside import RealFacts, inside, steady
from program import Cli

from attn_bench.model.protocol import Inspect
from attn_bench.store import runs

GATES = """\
from torch import nn
from attn_bench import register
from {helper} import grow


@register("mine")
class Mine(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = grow(channels)

    def forward(self, x):
        return x * 1.5
"""
CORE = """\
import torch
from torch import nn


def grow(channels):
    return nn.Parameter(torch.zeros(channels * {times}))
"""
SUITE = """\
title = "Mine"
baseline = "identity"

[[grid]]
module = "mine"

[shapes]
stages = [[64, 28, 28]]
"""
FEW = SUITE.replace('"identity"', '"copy"')
# word of --modules-from -> its file, and its helper's
LAYOUTS = {
    "mine.py": ("mine.py", "helper.py", "helper"),
    "my_pkg": ("my_pkg/__init__.py", "my_pkg/core.py", "my_pkg.core"),
    "my_pkg.gates": ("my_pkg/gates.py", "my_pkg/core.py", ".core"),
    "my_pkg/gates.py": ("my_pkg/gates.py", "my_pkg/core.py", ".core"),
    "src/my_pkg/": ("src/my_pkg/__init__.py", "src/my_pkg/core.py", ".core"),
}
LAYOUT = pytest.mark.parametrize("word", LAYOUTS)


@pytest.fixture
def home(tmp_path: Path, word: str) -> Path:
    """A repository with a module in the layout of `word`, committed with the small helper."""
    main, helper, name = LAYOUTS[word]
    for file in (main, helper):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    if "my_pkg" in word:
        (tmp_path / main).parent.joinpath("__init__.py").touch()
    (tmp_path / main).write_text(GATES.format(helper=name))
    (tmp_path / helper).write_text(CORE.format(times=1))
    (tmp_path / "mine.toml").write_text(SUITE)
    commit(tmp_path)
    return tmp_path


def commit(folder: Path) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "--quiet"), ("add", "."), (*who, "commit", "--quiet", "-m", "first")):
        subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


def grow(home: Path, word: str) -> None:
    """Change the helper alone: the module has twice the parameters."""
    (home / LAYOUTS[word][1]).write_text(CORE.format(times=2))


def run(home: Path, word: str, *words: str, by: Cli = inside, **more: Any) -> Any:
    given = ("--suite", "mine.toml", "--modules-from", word, "--device", "cpu", "--threads", "1")
    return by(*words[:1], *given, *words[1:], cwd=home, **more)


@LAYOUT
def test_every_file_of_a_module_is_stored(home: Path, word: str) -> None:
    """run.json has a digest of the module's file and of its helper's, and of the built-ins."""
    done = run(home, word, "run", "--out", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    info = runs.load(home / "run").info
    names = {name.rpartition(".")[2].removeprefix("attn_bench_user_") for name in info.sources}
    main, helper, _ = LAYOUTS[word]
    files = {Path(file).stem.replace("__init__", "my_pkg") for file in (main, helper)}
    assert files | {"modules"} <= names
    assert str(home) not in (home / "run/run.json").read_text().replace(str(home / "run"), "")


@LAYOUT
def test_a_changed_helper_is_another_version(home: Path, word: str) -> None:
    """`check --against` compares with the revision's own helper, and sees what it adds."""
    same = run(home, word, "check", "--against", "HEAD")
    assert same.returncode == 0, same.stdout + same.stderr
    grow(home, word)
    done = run(home, word, "check", "--against", "HEAD", "--json", "answer.json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "params 64 → 128" in done.stdout
    assert "the working tree contains uncommitted changes" in done.stdout


@LAYOUT
def test_a_changed_helper_ends_a_resume(home: Path, word: str) -> None:
    """`--resume` refuses, in one line that names the helper, and loses nothing."""
    script = RealFacts(steady)

    def stop(message: Any) -> None:
        if len(script.asked) > 12:
            raise KeyboardInterrupt

    script.instead = stop
    assert run(home, word, "run", "--out", "run", script=script).returncode == 130
    before = (home / "run/journal.jsonl").read_bytes()
    grow(home, word)
    done = inside("run", "--resume", "run", "--modules-from", word, cwd=home)
    assert done.returncode == 2, done.stdout
    helper = LAYOUTS[word][1].removesuffix(".py").removeprefix("src/").replace("/", ".")
    assert f"the code of {helper} has changed since; start a new run" in done.stderr
    assert (home / "run/journal.jsonl").read_bytes() == before
    (home / LAYOUTS[word][1]).write_text(CORE.format(times=1))
    assert inside("run", "--resume", "run", "--modules-from", word, cwd=home).returncode == 0


@pytest.mark.parametrize("word", ["mine.py"])
def test_a_file_edited_during_a_run_ends_it(home: Path, word: str) -> None:
    """A later worker would load other code: the run ends, keeps what it has, and says why."""
    script = RealFacts(steady)

    def edit(message: Any) -> None:
        if isinstance(message, Inspect):
            grow(home, word)

    script.instead = edit
    done = run(home, word, "run", "--out", "run", script=script)
    assert done.returncode == 3, done.stdout
    assert "the code of helper changed while the run measured" in done.stderr
    assert runs.load(home / "run").info.state == "broken off"


@LAYOUT
def test_a_changed_helper_is_measured_again(home: Path, word: str) -> None:
    """`recommend` reuses a stored figure only while every file is as it was."""
    words = ("recommend", "--shape", "64x28x28", "--json", "answer.json")

    def reused() -> tuple[int, Any]:
        done = run(home, word, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        answer = json.loads((home / "answer.json").read_text())
        rows = runs.load(runs.find("latest", home / "results")).rows
        return sum(answer["reused"].values()), next(r.params for r in rows if r.module == "mine")

    assert reused() == (0, 64)
    assert reused() == (2, 64)
    grow(home, word)
    assert reused() == (0, 128)


def test_two_stored_runs_say_whether_their_code_is_the_same(tmp_path: Path) -> None:
    """`compare` and `check --baseline` name the files that differ between two runs."""
    (tmp_path / "mine.py").write_text(GATES.format(helper="helper"))
    (tmp_path / "helper.py").write_text(CORE.format(times=1))
    (tmp_path / "mine.toml").write_text(SUITE)
    for name in ("one", "two"):
        assert run(tmp_path, "mine.py", "run", "--out", name).returncode == 0
    assert (
        "the code of the modules is the same"
        in inside("compare", "one", "two", cwd=tmp_path).stdout
    )
    (tmp_path / "helper.py").write_text(CORE.format(times=1) + "# other\n")
    done = run(tmp_path, "mine.py", "check", "--baseline", "one")
    assert "the code differs: helper" in done.stdout


def test_helpers_of_one_name_in_two_folders(tmp_path: Path) -> None:
    """`--against-modules old/mine.py` takes old/helper.py for it, and helper.py for mine.py."""
    (tmp_path / "old").mkdir()
    for folder, times in (("old", 1), (".", 2)):
        (tmp_path / folder / "mine.py").write_text(GATES.format(helper="helper"))
        (tmp_path / folder / "helper.py").write_text(CORE.format(times=times))
    (tmp_path / "mine.toml").write_text(SUITE)
    done = run(tmp_path, "mine.py", "check", "--against-modules", "old/mine.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "params 64 → 128" in done.stdout


def test_two_helpers_of_one_name_are_refused(tmp_path: Path) -> None:
    """A process has one `helper`: the second file would be measured with the first one's."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        text = GATES.format(helper="helper").replace('"mine"', f'"{folder}"')
        (tmp_path / folder / "mine.py").write_text(text)
        (tmp_path / folder / "helper.py").write_text(CORE.format(times=1))
    (tmp_path / "mine.toml").write_text(SUITE.replace('"mine"', '["a", "b"]'))
    done = run(tmp_path, "a/mine.py", "run", "--modules-from", "b/mine.py")
    assert done.returncode == 2
    assert "a/helper.py and b/helper.py are both imported as helper" in done.stderr


def test_a_new_file_that_is_imported_now_ends_a_resume(tmp_path: Path) -> None:
    """An optional import that succeeds only now is other code."""
    (tmp_path / "mine.py").write_text(
        "try:\n    import fast\nexcept ImportError:\n    pass\n" + GATES.format(helper="helper")
    )
    (tmp_path / "helper.py").write_text(CORE.format(times=1))
    (tmp_path / "mine.toml").write_text(SUITE)
    script = RealFacts(steady)

    def stop(message: Any) -> None:
        if len(script.asked) > 12:
            raise KeyboardInterrupt

    script.instead = stop
    assert run(tmp_path, "mine.py", "run", "--out", "run", script=script).returncode == 130
    (tmp_path / "fast.py").touch()
    done = inside("run", "--resume", "run", "--modules-from", "mine.py", cwd=tmp_path)
    assert done.returncode == 2
    assert "the code of fast has changed since" in done.stderr


def test_a_helper_that_is_imported_in_the_constructor(tmp_path: Path) -> None:
    """A late import gets the version of the module that does it, and is part of its code."""
    late = (
        GATES.format(helper="helper")
        .replace("from helper import grow\n", "")
        .replace("        super", "        from helper import grow\n        super")
    )
    (tmp_path / "mine.py").write_text(late)
    (tmp_path / "helper.py").write_text(CORE.format(times=1))
    (tmp_path / "mine.toml").write_text(SUITE)
    commit(tmp_path)
    assert run(tmp_path, "mine.py", "run", "--out", "run").returncode == 0
    assert "helper" in runs.load(tmp_path / "run").info.sources
    grow(tmp_path, "mine.py")
    done = run(tmp_path, "mine.py", "check", "--against", "HEAD")
    assert "params 64 → 128" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("from . import nothing\n", "my_pkg/__init__.py:1: ImportError"),
        ("from .core import grow\n", "registers no module when it is imported"),
        ("import my_pkg.broken\n", "my_pkg/broken.py:2: NameError"),
    ],
)
def test_a_package_that_cannot_be_loaded(tmp_path: Path, text: str, problem: str) -> None:
    """One line names the file and the line that raised, or says what to name instead."""
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg/__init__.py").write_text(text)
    (tmp_path / "my_pkg/core.py").write_text(CORE.format(times=1))
    (tmp_path / "my_pkg/broken.py").write_text("\nunknown\n")
    (tmp_path / "mine.toml").write_text(SUITE)
    done = run(tmp_path, "my_pkg", "run")
    assert done.returncode == 2
    assert problem in done.stderr


def test_a_package_through_real_processes(tmp_path: Path) -> None:
    """run, verify and check of a package that imports itself, from the console script."""
    script = Path(sys.executable).with_name("attn-bench")
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg/__init__.py").write_text(GATES.format(helper="my_pkg.core"))
    (tmp_path / "my_pkg/core.py").write_text(CORE.format(times=1))
    (tmp_path / "mine.toml").write_text(SUITE)
    commit(tmp_path)

    def program(*words: str, cwd: Path) -> Any:
        return subprocess.run(
            [str(script), *words], cwd=cwd, capture_output=True, text=True, timeout=240
        )

    quick = ("--budget", "1", "--sessions", "1")
    done = run(tmp_path, "my_pkg", "run", "--out", "run", *quick, by=program)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    grow(tmp_path, "my_pkg")
    done = run(tmp_path, "my_pkg", "check", "--against", "HEAD", *quick, by=program)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "params 64 → 128" in done.stdout
    done = program("verify", "mine", "--modules-from", "my_pkg/", cwd=tmp_path)
    assert "mine" in done.stdout
    assert done.returncode in (0, 1), done.stderr
