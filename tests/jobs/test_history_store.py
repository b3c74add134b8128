"""`history --store`: runs kept in a folder, or in a branch that holds nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from inside import inside
from program import ROOT
from test_check import COMMIT, git

from attn_bench.model.status import Exit
from attn_bench.store.kept import KEPT

REFERENCE = ROOT / "results" / "reference" / "ge_extents-cpu"


def store_run(folder: Path, name: str, start: str) -> Path:
    """A finished run in the results of `folder`."""
    run = folder / "results" / name
    shutil.copytree(REFERENCE, run)
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "start": start}))
    return run


def make_repository(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=master")
    (folder / "code.py").write_text("")
    (folder / ".gitignore").write_text("results/\n")
    git(folder, "add", ".")
    git(folder, *COMMIT, "--message", "first")
    return folder


def ask(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def history(folder: Path, *words: str) -> Any:
    done = inside("history", "--format", "json", *words, cwd=folder)
    assert done.returncode == Exit.GOOD, done.stderr
    return json.loads(done.stdout)


def refusal(folder: Path, *words: str) -> str:
    done = inside("history", *words, cwd=folder)
    assert done.returncode == Exit.BAD_REQUEST
    return done.stderr.strip()


def test_a_folder_keeps_runs_that_results_has_lost(tmp_path: Path) -> None:
    """Each run is kept once, without its samples."""
    store_run(tmp_path, "one", "2026-01-01")
    assert history(tmp_path, "--store", "../kept")["runs"] == 1
    shutil.rmtree(tmp_path / "results" / "one")
    store_run(tmp_path, "two", "2026-01-02")
    assert history(tmp_path, "--store", "../kept")["runs"] == 2
    assert history(tmp_path, "--store", "../kept")["runs"] == 2
    kept = tmp_path.parent / "kept"
    assert sorted(file.name for file in (kept / "one").iterdir()) == sorted(KEPT)
    shutil.rmtree(kept)


def test_a_branch_holds_the_runs_and_nothing_else(tmp_path: Path) -> None:
    """It has no history of its own, and neither the index nor the checked-out files change."""
    make_repository(tmp_path)
    store_run(tmp_path, "one", "2026-01-01")
    assert history(tmp_path, "--store", "git:runs")["runs"] == 1
    shutil.rmtree(tmp_path / "results")
    store_run(tmp_path, "two", "2026-01-02")
    assert history(tmp_path, "--store", "git:runs")["runs"] == 2
    files = ask(tmp_path, "ls-tree", "-r", "--name-only", "runs").split()
    assert files == [f"{run}/{name}" for run in ("one", "two") for name in sorted(KEPT)]
    assert ask(tmp_path, "rev-list", "--count", "runs") == "1"
    assert ask(tmp_path, "status", "--porcelain") == ""
    assert ask(tmp_path, "branch", "--show-current") == "master"


def test_a_store_without_new_runs_stays_as_it_is(tmp_path: Path) -> None:
    """The branch keeps its commit."""
    make_repository(tmp_path)
    store_run(tmp_path, "one", "2026-01-01")
    history(tmp_path, "--store", "git:runs")
    before = ask(tmp_path, "rev-parse", "runs")
    history(tmp_path, "--store", "git:runs")
    assert ask(tmp_path, "rev-parse", "runs") == before


@pytest.mark.parametrize("place", ["../pruned", "git:runs"])
def test_the_oldest_runs_are_removed(tmp_path: Path, place: str) -> None:
    """By their start; the names do not matter."""
    make_repository(tmp_path)
    for name, start in (("c", "2026-01-01"), ("b", "2026-01-02"), ("a", "2026-01-03")):
        store_run(tmp_path, name, start)
    found = history(tmp_path, "--store", place, "--keep", "2")
    runs = {point["run"] for series in found["series"] for point in series["points"]}
    assert runs == {"a", "b"}


def test_a_folder_with_more_than_kept_files_is_never_removed(tmp_path: Path) -> None:
    """It may be somebody's run with its samples."""
    store_run(tmp_path, "new", "2026-01-02")
    old = store_run(tmp_path / "other", "old", "2026-01-01")
    assert history(tmp_path, "--store", "other/results", "--keep", "1")["runs"] == 2
    assert (old / "samples.parquet").is_file()


def test_a_team_shares_a_branch_through_its_remote(tmp_path: Path) -> None:
    """Two clones push their runs in turn, and each then sees all of them."""
    git(tmp_path, "init", "--quiet", "--bare", "shared.git")
    clones = [make_repository(tmp_path / name) for name in ("one", "two")]
    for clone in clones:
        git(clone, "remote", "add", "origin", "../shared.git")
        store_run(clone, f"run-{clone.name}", "2026-01-01")
    seen = [
        history(clone, "--store", "git:runs", "--push", "origin")["runs"]
        for clone in (*clones, clones[0])
    ]
    assert seen == [1, 2, 2]
    commits = {ask(where, "rev-parse", "runs") for where in (*clones, tmp_path / "shared.git")}
    assert len(commits) == 1


def test_a_push_that_another_overtook_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's runs stay in the branch."""
    from attn_bench.store import branch

    git(tmp_path, "init", "--quiet", "--bare", "shared.git")
    clones = [make_repository(tmp_path / name) for name in ("one", "two")]
    for clone in clones:
        git(clone, "remote", "add", "origin", "../shared.git")
        store_run(clone, f"run-{clone.name}", "2026-01-01")
    push, overtaken = branch.push, []

    def overtake(root: Path, *rest: Any) -> bool:
        if root.name == "one" and not overtaken:
            overtaken.append(history(clones[1], "--store", "git:runs", "--push", "origin"))
        return push(root, *rest)

    monkeypatch.setattr(branch, "push", overtake)
    assert history(clones[0], "--store", "git:runs", "--push", "origin")["runs"] == 2
    assert overtaken
    files = ask(tmp_path / "shared.git", "ls-tree", "-r", "--name-only", "runs")
    assert "run-one/run.json" in files
    assert "run-two/run.json" in files


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--store", "git:master"), "git:master: is checked out: name a branch for runs alone"),
        (("--store", "git:code"), " of that branch is no file of a run"),
        (("--store", "git:code/runs"), "'refs/heads/code' exists"),
        (("--store", "git:@{-1}"), "git:@{-1}: no branch can have this name"),
        (("--store", "git:a..b"), "git:a..b: no branch can have this name"),
        (("--store", "git:"), "a folder or git:BRANCH"),
        (("--store", "kept", "--push", "origin"), "--push needs --store git:BRANCH"),
        (("--push", "origin"), "--push needs --store git:BRANCH"),
        (("--store", "results"), "results: the runs lie here already"),
        (("--store", "git:runs", "--push", "nowhere"), "--push: git: "),
        (("--store", "code.py"), "code.py: cannot be written"),
    ],
)
def test_a_wrong_store_is_refused_in_one_line(
    tmp_path: Path, words: tuple[str, ...], part: str
) -> None:
    """And the branch of the code is never written."""
    make_repository(tmp_path)
    store_run(tmp_path, "one", "2026-01-01")
    git(tmp_path, "branch", "code")
    before = ask(tmp_path, "for-each-ref")
    said = refusal(tmp_path, *words)
    assert part in said
    assert len(said.splitlines()) == 1
    assert ask(tmp_path, "for-each-ref") == before


def test_a_branch_whose_name_begins_alike_is_another(tmp_path: Path) -> None:
    """git lists runs/one for runs, too."""
    make_repository(tmp_path)
    store_run(tmp_path, "one", "2026-01-01")
    history(tmp_path, "--store", "git:runs/one")
    assert "'refs/heads/runs/one' exists" in refusal(tmp_path, "--store", "git:runs")


def test_without_runs_no_branch_is_made(tmp_path: Path) -> None:
    """The message names the store, not the folder of its copy."""
    make_repository(tmp_path)
    said = refusal(tmp_path, "--store", "git:runs")
    assert said.endswith("error: git:runs: contains no finished run")
    assert ask(tmp_path, "branch", "--list", "runs") == ""


def test_two_machines_may_start_in_the_same_second(tmp_path: Path) -> None:
    """Two different runs with the same name are both kept, each once."""
    for machine, start in (("a", "2026-01-01"), ("b", "2026-01-02")):
        run = store_run(tmp_path / machine, "one", start)
        table = pd.read_parquet(run / "table.parquet")
        table.assign(run="one", start=start).to_parquet(run / "table.parquet")
    seen = [
        len(history(tmp_path / machine, "--store", "../kept")["series"][0]["points"])
        for machine in ("a", "b", "b", "a")
    ]
    assert seen == [1, 2, 2, 2]


def test_a_run_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    """The others are kept."""
    store_run(tmp_path, "good", "2026-01-01")
    (store_run(tmp_path, "bad", "2026-01-01") / "run.json").write_text("{}")
    store_run(tmp_path, "bad\nname", "2026-01-01")
    make_repository(tmp_path)
    done = inside("history", "--store", "git:runs", cwd=tmp_path)
    assert done.returncode == Exit.GOOD
    assert "not kept: results/bad/run.json: schema None" in done.stderr
    assert "name: its name has characters that cannot be printed" in done.stderr
    assert "1 run added" in done.stderr
    assert ask(tmp_path, "ls-tree", "--name-only", "runs") == "good"


def test_a_damaged_branch_is_named(tmp_path: Path) -> None:
    """Nothing is read from a file of which a part is lost, and the branch stays as it is."""
    make_repository(tmp_path)
    store_run(tmp_path, "one", "2026-01-01")
    history(tmp_path, "--store", "git:runs")
    before = ask(tmp_path, "rev-parse", "runs")
    blob = ask(tmp_path, "rev-parse", "runs:one/table.parquet")
    stored = tmp_path / ".git" / "objects" / blob[:2] / blob[2:]
    content = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes(content[:200])
    assert refusal(tmp_path, "--store", "git:runs").endswith("is missing or damaged")
    stored.unlink()
    assert refusal(tmp_path, "--store", "git:runs").endswith("is missing or damaged")
    assert ask(tmp_path, "rev-parse", "runs") == before


def test_a_tree_of_anothers_making_cannot_write_elsewhere(tmp_path: Path) -> None:
    """A name that leads out of the folder is refused."""
    make_repository(tmp_path)
    store_run(tmp_path, "one", "2026-01-01")
    blob = ask(tmp_path, "rev-parse", "HEAD:code.py")

    def tree(entry: bytes, member: str) -> str:
        words = ["git", "hash-object", "-w", "-t", "tree", "--literally", "--stdin"]
        content = entry + b"\0" + bytes.fromhex(member)
        done = subprocess.run(words, cwd=tmp_path, input=content, capture_output=True, check=True)
        return done.stdout.decode().strip()

    top = tree(b"40000 ..", tree(b"100644 run.json", blob))
    commit = ask(tmp_path, *COMMIT[:4], "commit-tree", "-m", "x", top)
    git(tmp_path, "update-ref", "refs/heads/runs", commit)
    said = refusal(tmp_path, "--store", "git:runs")
    assert "../run.json of that branch is no file of a run" in said


def test_a_pre_push_hook_does_not_run(tmp_path: Path) -> None:
    """It is for code, and may measure."""
    git(tmp_path, "init", "--quiet", "--bare", "shared.git")
    clone = make_repository(tmp_path / "one")
    git(clone, "remote", "add", "origin", "../shared.git")
    hook = clone / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    store_run(clone, "one", "2026-01-01")
    assert history(clone, "--store", "git:runs", "--push", "origin")["runs"] == 1


def test_a_branch_that_another_process_wrote_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands at once in one clone keep the runs of both."""
    from attn_bench.store import branch

    make_repository(tmp_path)
    move, overtaken = branch.move, []

    def overtake(root: Path, *rest: Any) -> bool:
        if not overtaken:
            overtaken.append(True)
            store_run(tmp_path, "two", "2026-01-02")
            history(tmp_path, "--store", "git:runs")
            shutil.rmtree(tmp_path / "results" / "two")
        return move(root, *rest)

    monkeypatch.setattr(branch, "move", overtake)
    store_run(tmp_path, "one", "2026-01-01")
    assert history(tmp_path, "--store", "git:runs")["runs"] == 2


def test_a_store_needs_a_repository_for_a_branch(tmp_path: Path) -> None:
    """A folder needs none."""
    store_run(tmp_path, "one", "2026-01-01")
    assert "in no git repository" in refusal(tmp_path, "--store", "git:runs")
