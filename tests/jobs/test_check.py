"""The gate tells slower from heavier, broken, gone and unchanged, in a real repository."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from inside import RealFacts, inside, steady
from program import ROOT, Cli, ProgramRun, program

from attn_bench.model.case import Case
from attn_bench.model.protocol import Inspect, Message
from attn_bench.store.info import SCHEMA

MINE = """\
from torch import nn
from attn_bench import register


@register("mine")
class Mine(nn.Module):
    PASSES = 100

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        y = x * 1.0000001
        for _ in range(self.PASSES - 1):
            y.mul_(1.0000001)
        return y
"""
SUITE = """\
title = "Mine"
baseline = "mine"

[[grid]]
module = "mine"

[shapes]
stages = [[64, 28, 28]]
"""
COMMIT = ("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--all")


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a module and a suite of one case."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(SUITE)
    git(tmp_path, "init", "--quiet", "--initial-branch=master")
    git(tmp_path, "add", "mine.py", "mine.toml")
    git(tmp_path, *COMMIT, "--message", "first")
    return tmp_path


def change(repository: Path, old: str, new: str) -> None:
    """A commit that replaces `old` in the module's file."""
    file = repository / "mine.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    git(repository, *COMMIT, "--message", "change")


def check(
    repository: Path, *words: str, by: Cli = inside, **options: Any
) -> subprocess.CompletedProcess[str]:
    """`check` of the module: its facts are real and, but by `program`, its times a script's."""
    return by(
        *("check", "--suite", "mine.toml", "--modules-from", "mine.py", "--device", "cpu"),
        *("--json", "answer.json", "--threads", "1", *words),
        cwd=repository,
        **options,
    )


def slower_now(factor: float) -> RealFacts:
    """The current version takes `factor` times what the baseline takes."""

    def seconds(case: Case, session: int, round_: int) -> float:
        return steady(case, session, round_) * (1 if case.is_baseline else factor)

    return RealFacts(seconds)


def verdict(repository: Path) -> str:
    (finding,) = json.loads((repository / "answer.json").read_text())["findings"]
    return str(finding["verdict"])


def test_added_work_is_slower(repository: Path) -> None:
    """Through real processes, ten times the passes over the map are called slower than HEAD~1."""
    change(repository, "PASSES = 100", "PASSES = 1000")
    words = ("--against", "HEAD~1", "--budget", "90", "--sessions", "3")
    done = check(repository, *words, by=program)
    assert verdict(repository) == "slower", done.stdout
    assert done.returncode == 1
    assert not list((repository / ".git").glob("worktrees/*"))


def test_five_percent_is_slower(repository: Path) -> None:
    """5 % more time is called slower than HEAD~1, with status 1 and a failure in JUnit's file."""
    words = ("--against", "HEAD", "--junit", "junit.xml")
    done = check(repository, *words, script=slower_now(1.05))
    assert verdict(repository) == "slower", done.stdout
    assert done.returncode == 1
    (case,) = ElementTree.parse(repository / "junit.xml").iter("testcase")
    assert case[0].tag == "failure"
    assert not list((repository / ".git").glob("worktrees/*"))


def test_a_comment_changes_nothing(repository: Path) -> None:
    """A commit that only touches a comment is the same, and GitHub's summary says so."""
    change(repository, "def forward", "# A comment.\n    def forward")
    done = check(
        repository,
        *("--against", "HEAD~1"),
        GITHUB_STEP_SUMMARY=str(repository / "summary.md"),
        GITHUB_ACTIONS="true",
    )
    assert verdict(repository) == "same", done.stdout
    assert done.returncode == 0
    assert "1 case: 1 same." in (repository / "summary.md").read_text()
    assert "::" not in done.stdout.replace("HEAD~1 ::", "")


def test_a_heavier_version_is_timed(repository: Path) -> None:
    """A parameter more is heavier, status 1; its time is measured and stands beside it."""
    change(repository, "super().__init__()", "super().__init__(); self.p = nn.Linear(1, 1)")
    done = check(repository, "--against", "HEAD~1", "--out", "run")
    assert verdict(repository) == "heavier"
    assert done.returncode == 1
    assert "0 → 2" in done.stdout
    assert '"block"' in (repository / "run" / "journal.jsonl").read_text()


def test_with_fail_fast_a_parameter_fails_at_once(repository: Path) -> None:
    """With --fail-fast a heavier module fails without a block being timed."""
    change(repository, "super().__init__()", "super().__init__(); self.p = nn.Linear(1, 1)")
    words = ("--against", "HEAD~1", "--out", "run", "--fail-fast")
    done = check(repository, *words, GITHUB_ACTIONS="true")
    assert verdict(repository) == "heavier"
    assert done.returncode == 1
    assert "params 0 → 2" in done.stdout
    assert "::error title=attn-bench%3A heavier,file=mine.py,line=" in done.stdout
    assert '"block"' not in (repository / "run" / "journal.jsonl").read_text()


def test_a_broken_constructor_has_failed(repository: Path) -> None:
    """It is no slowdown: status 3, with the reason."""
    change(repository, "super().__init__()", "raise RuntimeError('no more')")
    done = check(repository, "--against", "HEAD~1")
    assert verdict(repository) == "failed"
    assert done.returncode == 3
    assert "constructor: RuntimeError: no more" in done.stdout


def test_a_deleted_module_is_missing(repository: Path) -> None:
    """The baseline has it, the current version has not: status 1."""
    change(repository, '@register("mine")', '@register("other")')
    done = check(repository, "--against", "HEAD~1")
    assert verdict(repository) == "missing"
    assert done.returncode == 1


def test_a_new_module_alone_is_no_comparison(repository: Path) -> None:
    """Nothing was compared, so the status is not 0."""
    (repository / "mine.toml").write_text(SUITE.replace('"mine"', '"other"'))
    change(repository, '@register("mine")', '@register("other")')
    done = check(repository, "--against", "HEAD~1")
    assert verdict(repository) == "new"
    assert done.returncode == 4


def test_a_file_that_the_revision_has_not(repository: Path) -> None:
    """A module in a new file is new: nothing was compared, status 4."""
    (repository / "other.py").write_text(MINE)
    git(repository, "add", "other.py")
    done = inside(
        *("check", "--suite", "mine.toml", "--modules-from", "other.py", "--device", "cpu"),
        *("--against", "HEAD"),
        cwd=repository,
    )
    assert done.returncode == 4, done.stderr
    assert "1 case: 1 new (nothing was compared)." in done.stdout


def test_against_a_file(repository: Path) -> None:
    """--against-modules compares with another file, and leaves out what it does not register."""
    (repository / "old.py").write_text(
        MINE.replace("nn.Module", "nn.BatchNorm2d").replace(
            "super().__init__()", "super().__init__(channels)"
        )
    )
    done = check(repository, "--against-modules", "old.py")
    assert verdict(repository) == "lighter"
    assert "params 128 → 0 (-128, -100 %)" in done.stdout
    folder = done.stdout.rpartition("run folder: ")[2].strip()
    shown = inside("show", folder, cwd=repository).stdout
    assert "128 → 0" in shown, shown


def test_a_check_in_a_hook_leaves_the_commit_alone(repository: Path) -> None:
    """Git hands a hook the index of the commit in progress: it is not checked out into."""
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m attn_bench check --device cpu "
        "--suite mine.toml --modules-from mine.py --against HEAD --budget 1 --sessions 1 "
        "--allow-undecided --tolerance latency=1000\n"
    )
    hook.chmod(0o755)
    (repository / "new.txt").write_text("new")
    git(repository, "add", "new.txt")
    change(repository, "def forward", "# A comment.\n    def forward")
    shown = subprocess.run(
        ["git", "-C", str(repository), "show", "--stat", "HEAD"], capture_output=True, text=True
    )
    assert "2 files changed" in shown.stdout


def interrupted(message: Message) -> None:
    """Ctrl-C while the first case is inspected."""
    if isinstance(message, Inspect):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_inspecting(repository: Path) -> None:
    """Status 130, the folder saved, no worktree left; and such check runs cannot be resumed."""
    script = RealFacts(steady, instead=interrupted)
    done = check(repository, "--against", "HEAD", "--out", "run", script=script)
    assert done.returncode == 130, done.stderr
    assert "the run ended before this case" in done.stdout
    assert (repository / "run" / "table.csv").is_file()
    assert not list((repository / ".git").glob("worktrees/*"))
    resumed = inside("run", "--resume", "run", cwd=repository)
    assert "check runs cannot be resumed" in resumed.stderr


def test_a_killed_checks_worktree_is_cleared_up(repository: Path) -> None:
    """The next check removes what kill -9 left."""
    tree = Path(tempfile.mkdtemp(prefix="attn-bench-999999-")) / "base"
    git(repository, "worktree", "add", "--detach", str(tree), "HEAD")
    change(repository, '@register("mine")', '@register("other")')
    assert check(repository, "--against", "HEAD~1").returncode == 1
    assert not tree.parent.exists()
    assert not list((repository / ".git").glob("worktrees/*"))


def test_a_baseline_that_cannot_be_loaded(repository: Path) -> None:
    """The complaint names the revision and the line."""
    change(repository, "from torch import nn", "from torch import nn!")
    change(repository, "from torch import nn!", "from torch import nn")
    done = check(repository, "--against", "HEAD~1")
    assert done.returncode == 2
    assert "HEAD~1 (" in done.stderr
    assert "mine.py:1: SyntaxError" in done.stderr
    assert "attn-bench-" not in done.stderr


def test_uncommitted_changes_are_told(repository: Path) -> None:
    """The working tree is what is measured, and the answer says that it is not a commit."""
    (repository / "mine.py").write_text(MINE.replace("super().__init__()", "raise OSError"))
    done = check(repository, "--against", "HEAD")
    assert done.returncode == 3
    assert "the working tree contains uncommitted changes" in done.stdout


def test_built_in_modules_of_a_checkout(tmp_path: Path) -> None:
    """In attn-bench's own repository, a change to modules/ is held against HEAD."""
    for folder in ("attn_bench", "modules", "suites"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=ignore)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, *COMMIT, "--message", "first")
    file = tmp_path / "modules" / "references.py"
    file.write_text(file.read_text().replace("rd_ratio: float = 1 / 16", "rd_ratio: float = 1 / 8"))
    done = program(
        *("check", "--suite", "smoke", "--modules", "se", "--against", "HEAD", "--device", "cpu"),
        *("--where", "module == 'se'", "--budget", "1", "--sessions", "1"),
        *("--json", "answer.json"),
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
    )
    assert done.returncode == 1, done.stderr
    findings = json.loads((tmp_path / "answer.json").read_text())["findings"]
    found = {finding["module"]: finding["verdict"] for finding in findings}
    assert found["se"] == "heavier"
    assert found["identity"] != "heavier"


def test_two_interpreters(repository: Path) -> None:
    """--against-python measures in pairs of processes, and shows how little that tells."""
    script = RealFacts(steady)
    words = ("--against-python", "/another/python", "--sessions", "3")
    done = check(repository, *words, script=script)
    assert done.returncode == 0, done.stderr
    assert {worker.python for worker in script.workers} == {sys.executable, "/another/python"}
    assert "ran in two processes" in done.stdout
    info = json.loads(next(repository.glob("results/*/run.json")).read_text())
    assert info["baseline_software"] == info["environment"]["software"]


# --- a stored run ---------------------------------------------------------------------------------


@pytest.fixture
def stored(smoke: ProgramRun, tmp_path: Path) -> Path:
    """A copy of the smoke run, to be tampered with."""
    return Path(shutil.copytree(smoke.folder, tmp_path / "baseline"))


def against(stored: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    done = inside(
        *("check", "--suite", "smoke", "--baseline", "baseline", "--device", "cpu"),
        *("--json", "answer.json", *words),
        cwd=stored.parent,
    )
    answer = stored.parent / "answer.json"
    findings = json.loads(answer.read_text())["findings"] if answer.exists() else []
    return done, {finding["case_id"].partition("/")[0]: finding["verdict"] for finding in findings}


def tamper(stored: Path, **changes: object) -> None:
    """Change what run.json says of the environment."""
    info = json.loads((stored / "run.json").read_text())
    info["environment"] |= changes
    (stored / "run.json").write_text(json.dumps(info))


def test_another_machine_gates_the_exact_metrics(stored: Path) -> None:
    """Nothing is timed, it is said why, and equal metrics are the same: status 0."""
    tamper(stored, fingerprint="another")
    done, found = against(stored)
    assert done.returncode == 0, done.stderr
    assert "time was not compared: the machine differs (another, now" in done.stdout
    assert against(stored, "--must-see", "20", "--out", "again")[0].returncode == 4
    assert set(found.values()) == {"same"}
    assert "→" not in done.stdout


def test_another_machine_and_a_heavier_module(stored: Path) -> None:
    """A metric that has grown fails there too; a case that is gone is missing."""
    import pandas as pd

    tamper(stored, fingerprint="another")
    table = pd.read_parquet(stored / "table.parquet")
    table.loc[table["module"] == "se", "params"] -= 1
    table.loc[table["module"] == "cbam", "case_id"] = "gone"
    table.to_parquet(stored / "table.parquet")
    done, found = against(stored)
    assert done.returncode == 1
    assert found["se"] == "heavier"
    assert found["gone"] == "missing"
    assert found["cbam"] == "new"


def test_other_software_is_named(stored: Path) -> None:
    """What differs is said."""
    info = json.loads((stored / "run.json").read_text())
    tamper(stored, software={**info["environment"]["software"], "torch": "1.0"})
    done, _ = against(stored)
    assert "time was not compared: the software differs (torch: 1.0, now" in done.stdout


def test_the_same_machine_compares_time(stored: Path) -> None:
    """Ratios to the baseline are compared, with the deviation from run to run in the interval."""
    done, found = against(stored, "--tolerance", "latency=30")
    assert set(found.values()) == {"same"}, done.stdout
    assert done.returncode == 0
    assert "± 2.0 % (the default; `selfcheck` measures it)" in done.stdout


def test_a_busy_machine_compares_no_time(stored: Path) -> None:
    """Where other work disturbed the baseline, its times are left alone, and it is said why."""
    tamper(stored, other_load_cores=1.7)
    done, found = against(stored)
    assert "time was not compared: other processes used 1.7 cores" in done.stdout
    assert set(found.values()) == {"same"}


def test_what_was_not_timed_is_undecided(stored: Path, cli: Cli) -> None:
    """A run that spent its budget before a round is compared by its exact metrics, and says so."""
    import pandas as pd

    samples = pd.read_parquet(stored / "samples.parquet")
    samples[samples["round"] > 90].to_parquet(stored / "samples.parquet")
    done = cli("compare", "baseline", "baseline")
    assert done.returncode == 4
    assert "this case was not timed in both runs" in done.stdout


def test_a_check_of_two_versions_is_no_baseline(stored: Path, cli: Cli) -> None:
    """It holds every case twice."""
    import pandas as pd

    table = pd.read_parquet(stored / "table.parquet")
    table["module"] = table["module"] + "@base"
    table.to_parquet(stored / "table.parquet")
    done = cli("compare", "baseline", "baseline")
    assert done.returncode == 2
    assert "contains two versions of each case" in done.stderr


@pytest.mark.parametrize(
    ("file", "column", "value", "expected"),
    [
        ("table.parquet", "status", "weird", "table.parquet: "),
        ("samples.parquet", "seconds", 0.0, "0.seconds must be greater than 0, not 0.0"),
        ("samples.parquet", "seconds", float("inf"), "0.seconds must be less than or equal to"),
        ("samples.parquet", "calls", 0, "0.calls must be greater than or equal to 1, not 0"),
        ("table.parquet", "ratio_lo", 9e9, "ratio cannot be "),
        ("table.parquet", "params", -1, "0.params must be greater than or equal to 0, not -1"),
    ],
)
def test_tampered_tables(
    stored: Path, cli: Cli, file: str, column: str, value: object, expected: str
) -> None:
    """What cannot be is refused in a line."""
    import pandas as pd

    frame = pd.read_parquet(stored / file)
    frame[column] = value
    frame.to_parquet(stored / file)
    done = cli("compare", "baseline", "baseline")
    assert done.returncode == 2, done.stdout
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_compare_two_stored_runs(stored: Path, cli: Cli) -> None:
    """A run against itself: every case the same, and every time told."""
    done = cli(
        "compare", "baseline", "baseline", "--markdown", "answer.md", "--tolerance", "latency=30"
    )
    assert done.returncode == 0, done.stderr
    assert "9 cases: 9 same." in done.stdout
    assert "| same | se/2x64x16x16" in (stored.parent / "answer.md").read_text()


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--against", "HEAD~9"), "--against HEAD~9: no such revision"),
        (("--against", "mastr"), "did you mean 'master'?"),
        (("--against", "--output=x"), "no such revision"),
        ((), "check needs exactly one of --against, --against-modules"),
        (("--against", "HEAD", "--baseline", "x"), "check needs exactly one of"),
        (("--baseline", "nothing"), "run 'nothing' not found"),
        (
            ("--against-modules", "nothing.py"),
            "--against-modules nothing.py: file not found",
        ),
        (("--against-python", "/no/python"), "--against-python /no/python: No such file"),
        (("--against-python", "/bin/true"), "a worker cannot be started"),
        (("--against", "HEAD", "--tolerance", "latncy=3"), "did you mean 'latency'?"),
        (("--against", "HEAD", "--warn", "latency=x"), "'x' is not a valid percentage"),
        (("--against", "HEAD", "--tolerance", "latency=-1"), "'-1' is not a valid percentage"),
        (("--against", "HEAD", "--modules", "nothing"), "matches no module"),
        (("--against", "HEAD", "--junit", "/no/where.xml"), "/no/where.xml: cannot be written"),
        (("--against", "HEAD", "--tolerance", "latency"), "must be [GLOB:]METRIC=PERCENT"),
        (("--against", "HEAD", "--warn", "mime:latency=3%"), "did you mean 'mine'?"),
    ],
)
def test_bad_requests(repository: Path, words: tuple[str, ...], expected: str) -> None:
    """One line, status 2, nothing measured and nothing left behind."""
    by = program if words[:1] == ("--against-python",) else inside
    done = check(repository, *words, by=by)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not (repository / "results").exists()
    assert not list((repository / ".git").glob("worktrees/*"))


def test_no_repository_and_no_git(tmp_path: Path) -> None:
    """Each is told in one line."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(SUITE)
    outside = check(tmp_path, "--against", "HEAD", GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert outside.returncode == 2
    assert "not a git repository" in outside.stderr
    without = check(tmp_path, "--against", "HEAD", PATH=str(tmp_path))
    assert without.returncode == 2
    assert "git is not installed" in without.stderr


def test_a_file_outside_the_repository(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What git does not know cannot be held against a revision."""
    other = tmp_path_factory.mktemp("other") / "theirs.py"
    other.write_text(MINE.replace('"mine"', '"theirs"'))
    done = check(repository, "--modules-from", str(other), "--against", "HEAD")
    assert done.returncode == 2
    assert "theirs.py is not in the repository" in done.stderr


def test_an_unreadable_baseline(stored: Path) -> None:
    """Another schema, half written, or of another suite: one line, status 2."""
    info = (stored / "run.json").read_text()
    (stored / "run.json").write_text(info.replace(f'"schema": {SCHEMA}', '"schema": 99'))
    assert "schema 99" in against(stored)[0].stderr
    (stored / "run.json").write_text(info[: len(info) // 2])
    assert "cannot be read" in against(stored)[0].stderr
    (stored / "run.json").write_text(info)
    (stored / "table.parquet").write_bytes((stored / "table.parquet").read_bytes()[:500])
    broken, _ = against(stored)
    assert "table.parquet: is damaged" in broken.stderr
    assert broken.returncode == 2
    (stored / "table.parquet").unlink()
    assert "table.parquet: is missing, although the run was finished" in against(stored)[0].stderr


def test_a_baseline_of_another_suite(stored: Path) -> None:
    """There is nothing to compare, and it is said before anything is measured."""
    done = inside(
        *("check", "--suite", "channels", "--baseline", "baseline", "--device", "cpu"),
        cwd=stored.parent,
    )
    assert done.returncode == 2
    assert "contains no case of suites/channels.toml" in done.stderr
