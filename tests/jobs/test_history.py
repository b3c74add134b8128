"""Series over commits in a real repository: what changed, at which commit, and who did it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from inside import RealFacts, inside, steady
from program import ROOT
from test_check import COMMIT, MINE, SUITE, git
from test_history_store import store_run

from attn_bench.model import protocol
from attn_bench.model.case import Case
from attn_bench.model.status import Exit

BASE = 1000
MEASURING = (
    *("--suite", "mine.toml", "--modules-from", "mine.py", "--device", "cpu"),
    *("--threads", "1", "--sessions", "3"),
)
MODULE = MINE.replace("PASSES = 100", f"PASSES = 3\n    TIME = {BASE}\n    WEIGHTS = 8").replace(
    "super().__init__()",
    "super().__init__()\n        self.gain = nn.Parameter(torch.zeros(self.WEIGHTS))",
)
MODULE = MODULE.replace("from torch import nn", "import torch\nfrom torch import nn")


class ByCode(RealFacts):
    """Each version takes the time that its file says: TIME."""

    def __init__(self) -> None:
        super().__init__(self._seconds)

    def _seconds(self, case: Case, session: int, round_: int) -> float:
        opening: protocol.Open = self.workers[session].opening  # type: ignore[attr-defined]
        files: Sequence[str] = opening.modules_from
        if case.is_baseline:
            assert opening.baseline is not None
            files = opening.baseline.files
        found = re.search(r"TIME = (\d+)", Path(files[0]).read_text())
        assert found is not None
        return steady(case, session, round_) * int(found[1]) / BASE


def make_repository(folder: Path, changes: Sequence[Mapping[str, Any]]) -> list[str]:
    """A repository with a commit for each of `changes`; returns their hashes."""
    git(folder, "init", "--quiet", "--initial-branch=master")
    (folder / "mine.toml").write_text(SUITE)
    (folder / ".gitignore").write_text("results/\n__pycache__/\n")
    content, commits = MODULE, []
    for number, change in enumerate(changes):
        for name, value in change.items():
            content = re.sub(rf"{name} = \S+", f"{name} = {value}", content)
        (folder / "mine.py").write_text(f"{content}# commit {number}\n")
        git(folder, "add", "mine.py", "mine.toml", ".gitignore")
        git(folder, *COMMIT, "--message", str(number))
        words = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        commits.append(subprocess.run(words, capture_output=True, text=True).stdout.strip())
    return commits


def measured(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command that measures the module of the repository."""
    return inside(*words, *MEASURING, cwd=folder, script=ByCode())


def history(folder: Path, *words: str) -> Any:
    done = inside("history", "--format", "json", *words, cwd=folder)
    assert done.returncode == Exit.GOOD, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Twelve commits, each measured beside the one before: a step, a creep, more weights."""
    folder = tmp_path_factory.mktemp("filled")
    times = [1000, 1000, 1000, 1050, 1050, 1050, 1071, 1092, 1092, 1092, 1092, 1092]
    weights = [8] * 9 + [16] * 3
    changes = [{"TIME": t, "WEIGHTS": w} for t, w in zip(times, weights, strict=True)]
    commits = make_repository(folder, changes)
    done = measured(folder, "history", "--fill", f"{commits[0]}..{commits[-1]}")
    assert done.returncode == Exit.GOOD, done.stderr
    return folder, commits


def test_each_commit_is_measured_beside_the_one_before(filled: tuple[Path, list[str]]) -> None:
    """The chain of ratios has the step and the two parts of the creep, and nothing else."""
    folder, commits = filled
    (series,) = history(folder)["series"]
    assert [commits.index(p["revision"]) for p in series["points"]] == list(range(len(commits)))
    assert [commits.index(change["revision"]) for change in series["changes"]] == [3, 6, 7]
    sizes = [round(change["ratio"], 3) for change in series["changes"]]
    assert sizes == pytest.approx([1.05, 1.02, 1.0196], abs=0.003)
    assert series["points"][-1]["value"] == pytest.approx(1.092, abs=0.005)


def test_exact_metrics_have_a_history_too(filled: tuple[Path, list[str]]) -> None:
    """Parameters change at one commit, by exactly what they changed."""
    folder, commits = filled
    (series,) = history(folder, "--metric", "params")["series"]
    (change,) = series["changes"]
    assert change["revision"] == commits[9]
    assert change["ratio"] == 2


def test_what_is_stored_is_not_measured_again(filled: tuple[Path, list[str]]) -> None:
    """A second --fill of the same commits opens no worker."""
    folder, commits = filled
    script = ByCode()
    span = f"{commits[0]}..{commits[-1]}"
    done = inside("history", "--fill", span, *MEASURING, cwd=folder, script=script)
    assert done.returncode == Exit.GOOD
    assert script.workers == []


def test_the_console_names_the_commits(filled: tuple[Path, list[str]]) -> None:
    """The first line counts the changes, and each has a line with its commit."""
    folder, commits = filled
    done = inside("history", cwd=folder, COLUMNS="140")
    assert done.stdout.startswith("3 changes for the worse and 0 changes for the better in 1 ser")
    for at in (3, 6, 7):
        assert commits[at][:10] in done.stdout


def test_since_leaves_older_commits_out(filled: tuple[Path, list[str]]) -> None:
    """--since begins at a commit, and an unknown one names the nearest."""
    folder, commits = filled
    (series,) = history(folder, "--since", commits[8])["series"]
    assert series["points"][-1]["revision"] == commits[-1]
    assert series["changes"] == []
    wrong = inside("history", "--since", "mastr", cwd=folder)
    assert wrong.returncode == Exit.BAD_REQUEST
    assert "--since mastr: no such revision (did you mean 'master'?)" in wrong.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--suite", "ge_extent"), "--suite ge_extent: no run has it (did you mean 'ge_extents'?)"),
        (("--modules", "cbma"), "--modules cbma: no run has it (did you mean 'cbam'?)"),
        (("--since", "HEAD"), "results: none of 1 run matches --suite, --modules and --since"),
    ],
)
def test_a_pattern_that_matches_nothing_is_named(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """The message has the option and the nearest name, or says that no run is recent enough."""
    make_repository(tmp_path, [{}])
    store_run(tmp_path, "one", "2026-01-01")
    done = inside("history", *words, cwd=tmp_path)
    assert done.returncode == Exit.BAD_REQUEST
    assert said in done.stderr


@pytest.mark.parametrize(("old", "new"), [(3, 1), (3, 3)])
def test_a_span_begins_before_it_ends(filled: tuple[Path, list[str]], old: int, new: int) -> None:
    """Reversed and equal ends are refused in one line."""
    folder, commits = filled
    first, last = commits[old], commits[new]
    said = "are the same commit" if first == last else "is not before"
    filling, bisecting = ("--fill", f"{first}..{last}"), ("--good", first, "--bad", last)
    for words in (("history", *filling), ("bisect", *bisecting)):
        done = measured(folder, *words)
        assert done.returncode == Exit.BAD_REQUEST
        assert said in done.stderr.splitlines()[-1]


def bisected(folder: Path, *words: str) -> tuple[int, Any]:
    done = measured(folder, "bisect", "--json", "found.json", *words)
    assert (folder / "found.json").exists(), done.stderr
    return done.returncode, json.loads((folder / "found.json").read_text())


def test_bisect_names_the_commit(tmp_path: Path) -> None:
    """A step of 5 % among nine commits is found in the same processes, and confirmed."""
    times = [1000] * 5 + [1050] * 4
    commits = make_repository(tmp_path, [{"TIME": time} for time in times])
    status, found = bisected(tmp_path, "--good", commits[0])
    assert (status, found["outcome"], found["last"]) == (Exit.GOOD, "commit", commits[5])
    assert found["first"] == commits[4]
    assert found["step"]["value"] == pytest.approx(1.05, abs=0.005)


def test_bisect_goes_around_what_cannot_be_measured(tmp_path: Path) -> None:
    """A commit that does not load is named; beside the change, the answer is a range."""
    changes: list[dict[str, Any]] = [{"TIME": 1000}] * 3 + [{"TIME": 1100}] * 3
    changes[3] = {"TIME": 1100, "PASSES": "this_is_no_number"}
    changes[4] = {"PASSES": "3"}
    commits = make_repository(tmp_path, changes)
    status, found = bisected(tmp_path, "--good", commits[0])
    assert (status, found["outcome"]) == (Exit.UNDECIDED, "range")
    assert (found["first"], found["last"]) == (commits[2], commits[4])
    (broken,) = [asked for asked in found["asked"] if asked["side"] is None]
    assert broken["commit"] == commits[3]
    assert "this_is_no_number" in broken["reason"]


def test_bisect_says_that_nothing_changed(tmp_path: Path) -> None:
    """Of unchanged code no commit is accused."""
    commits = make_repository(tmp_path, [{"TIME": 1000}] * 4)
    status, found = bisected(tmp_path, "--good", commits[0])
    assert (status, found["outcome"], found["last"]) == (Exit.GOOD, "same", None)


def test_an_exact_metric_is_never_uncertain(tmp_path: Path) -> None:
    """The same weights are the same, although the times are not known in a second."""
    commits = make_repository(tmp_path, [{}, {}, {}])
    status, found = bisected(tmp_path, "--good", commits[0], "--metric", "params")
    assert (status, found["outcome"]) == (Exit.GOOD, "same")


def test_a_pair_serves_only_the_same_question(tmp_path: Path) -> None:
    """Another file, other threads, or an edited suite are measured anew."""
    commits = make_repository(tmp_path, [{}, {}])
    span = ("--good", commits[0], "--metric", "params")
    bisected(tmp_path, *span)
    runs = len(list((tmp_path / "results").iterdir()))
    bisected(tmp_path, *span)
    assert len(list((tmp_path / "results").iterdir())) == runs
    bisected(tmp_path, *span, "--budget", "3", "--metric", "latency")
    assert len(list((tmp_path / "results").iterdir())) == runs + 1
    suite = tmp_path / "mine.toml"
    suite.write_text(suite.read_text().replace("[64, 28, 28]", "[32, 28, 28]"))
    bisected(tmp_path, *span)
    assert len(list((tmp_path / "results").iterdir())) == runs + 2


def test_a_repository_without_commits_has_a_history(tmp_path: Path) -> None:
    """The runs are then in the order of time; a commit of no branch is refused."""
    reference = ROOT / "results" / "reference" / "ge_extents-cpu"
    shutil.copytree(reference, tmp_path / "results" / "one")
    git(tmp_path, "init", "--quiet", "--initial-branch=master")
    assert len(history(tmp_path)["series"]) > 10
    (tmp_path / "file").write_text("")
    git(tmp_path, "add", "file")
    git(tmp_path, *COMMIT, "--message", "first")
    git(tmp_path, "checkout", "--quiet", "--detach")
    git(tmp_path, *COMMIT, "--allow-empty", "--message", "lost")
    words = ["git", "-C", str(tmp_path), "rev-parse", "HEAD"]
    lost = subprocess.run(words, capture_output=True, text=True).stdout.strip()
    git(tmp_path, "checkout", "--quiet", "master")
    done = inside("history", "--since", lost, cwd=tmp_path)
    assert done.returncode == Exit.BAD_REQUEST
    assert "is in no branch and no tag" in done.stderr


def test_bisect_finds_more_weights(tmp_path: Path) -> None:
    """An exact metric needs no clock."""
    commits = make_repository(tmp_path, [{"WEIGHTS": w} for w in (8, 8, 8, 16, 16)])
    status, found = bisected(tmp_path, "--good", commits[0], "--metric", "params")
    assert (status, found["outcome"], found["last"]) == (Exit.GOOD, "commit", commits[3])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("history", "--metric", "latnecy"), "--metric: unknown metric 'latnecy' (did you mean"),
        (("history",), "results: no folder of runs"),
        (("report", "--history"), "results: no folder of runs"),
        (("history", "--fill", "a..b"), "--fill needs --suite NAME"),
        (("history", "--fill", "a", "--suite", "smoke"), "--fill a: must be OLD..NEW"),
        (("history", "--fill", "a..b", "--suite", "smoke"), "the files of --modules-from"),
        (("bisect", "--good", "a"), "bisect needs --suite NAME"),
        (("bisect", "--good", "a", "--suite", "smoke"), "the files of --modules-from"),
    ],
)
def test_wrong_requests_get_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """Each names what is wrong, with status 2."""
    done = inside(*words, cwd=tmp_path)
    assert done.returncode == Exit.BAD_REQUEST
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
