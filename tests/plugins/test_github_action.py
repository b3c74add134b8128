"""The steps of action.yml, run as GitHub's runner runs them: its files and its API are made up."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from program import ROOT

from attn_bench.model.errors import RequestError
from attn_bench.model.status import Exit
from attn_bench.plugins import github_action

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")
MINE = """
from torch import nn
from attn_bench import register

@register("mine")
class Mine(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Linear(channels, LAYERS)

    def forward(self, x):
        return x * 2
"""
SUITE = """
title = "One module"
[[grid]]
module = "mine"
[shapes]
batch = 1
stages = [[8, 4, 4]]
"""
PYTHON = """#!/bin/sh
case "$*" in "-m pip "*) echo "$@" > pip.log; exit 0;; esac
exec {} "$@"
"""
TEXT = "### attn-bench: mine against main\n\n1 case: 1 heavier.\n"


@dataclass
class Runner:
    """A job of GitHub's runner in `workspace`, whose files lie in `temp`."""

    workspace: Path
    temp: Path
    event: Mapping[str, Any]
    api: str = "http://127.0.0.1:1"

    def run(
        self, step: str, outputs: Mapping[str, str] = {}, **inputs: str
    ) -> subprocess.CompletedProcess[str]:
        """A step of the action, with the outputs of the earlier step."""
        given = {name: str(fact.get("default", "")) for name, fact in ACTION["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        known = {f"inputs.{name}": value for name, value in given.items()}
        known |= {f"steps.check.outputs.{name}": value for name, value in outputs.items()}
        known["inputs.token"] = "secret"
        wanted = STEPS[step].get("env", {})
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[step]["run"]],
            cwd=self.workspace,
            env=self.environment()
            | {name: EXPRESSION.sub(lambda m: known[m[1]], text) for name, text in wanted.items()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        programs, event = self.temp / "bin", self.temp / "event.json"
        programs.mkdir(exist_ok=True)
        (programs / "python").write_text(PYTHON.format(sys.executable))
        (programs / "python").chmod(0o755)
        event.write_text(json.dumps(self.event))
        return {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_API_URL": self.api,
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_JOB": "check",
            "GITHUB_OUTPUT": str(self.temp / "output"),
            "GITHUB_REPOSITORY": "me/net",
            "GITHUB_RUN_ID": "42",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
            "GITHUB_WORKFLOW": "attn-bench",
            "no_proxy": "127.0.0.1",
        }


@dataclass
class Api:
    """The comments of pull request 7, as GitHub's API keeps them; `refuses` is its error."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    refuses: int | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def answer(self, method: str, path: str, body: str | None) -> tuple[int, Any]:
        self.asked.append((method, path))
        if self.refuses is not None:
            return self.refuses, {"message": "Resource not accessible by integration"}
        if method == "GET":
            page = int(path.rpartition("page=")[2])
            return 200, self.comments[100 * (page - 1) : 100 * page]
        if method == "POST":
            self.comments.append({"id": len(self.comments), "body": body})
            return 201, self.comments[-1]
        number = int(path.rpartition("/")[2])
        self.comments[number]["body"] = body
        return 200, self.comments[number]


@contextmanager
def serving(api: Api) -> Iterator[str]:
    """The address of a server that answers for `api`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            api.tokens.add(self.headers["Authorization"])
            body = json.loads(content)["body"] if content else None
            status, answer = api.answer(self.command, self.path, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_POST = do_PATCH = do_GET

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def git(where: Path, *words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    done = subprocess.run(
        ["git", "-C", str(where), *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(where: Path, file: str, content: str) -> str:
    (where / file).parent.mkdir(exist_ok=True)
    (where / file).write_text(content)
    git(where, "add", "-A")
    git(where, "commit", "-qm", file)
    return git(where, "rev-parse", "HEAD")


@dataclass(frozen=True)
class Checked:
    """What the step `check` left for a pull request with a heavier module."""

    runner: Runner
    process: subprocess.CompletedProcess[str]
    outputs: Mapping[str, str]
    newest_base: str

    @property
    def folder(self) -> Path:
        return Path(self.outputs["folder"])


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """The merge of a pull request in a shallow clone; its base has moved since the event."""
    folder = tmp_path_factory.mktemp("action")
    origin = folder / "origin"
    origin.mkdir()
    git(origin, "init", "-qb", "main")
    commit(origin, "suite.toml", SUITE)
    base = commit(origin, "my pkg/mine.py", MINE.replace("LAYERS", "1"))
    git(origin, "checkout", "-qb", "head")
    head = commit(origin, "my pkg/mine.py", MINE.replace("LAYERS", "2"))
    git(origin, "checkout", "-q", "main")
    newest = commit(origin, "README.md", "Another pull request")
    git(origin, "checkout", "-qb", "merge")
    git(origin, "merge", "-q", "--no-ff", "-m", "merge", "head")
    git(folder, "clone", "-q", "--depth=1", "--branch=merge", origin.as_uri(), "clone")
    request = {"number": 7, "base": {"sha": base}, "head": {"sha": head}}
    (folder / "temp").mkdir()
    runner = Runner(folder / "clone", folder / "temp", {"pull_request": request})
    files = "\n  my pkg/mine.py\n"
    done = runner.run("Check", suite="suite.toml", modules_from=files, options="--fail-fast")
    lines = (folder / "temp" / "output").read_text().splitlines()
    return Checked(runner, done, dict(line.split("=", 1) for line in lines), newest)


def test_a_heavier_module_fails_the_job(checked: Checked) -> None:
    """The status is that of the check, and the base is the one that the merge was made with."""
    assert checked.process.returncode == 1, checked.process.stdout + checked.process.stderr
    assert checked.outputs["status"] == "1"
    answer = json.loads((checked.folder / "attn-bench.json").read_text())
    assert answer["baseline"] == checked.newest_base[:10]
    assert git(checked.runner.workspace, "status", "--porcelain") == ""


def test_it_is_annotated_at_its_line(checked: Checked) -> None:
    """GitHub shows the finding at the class of the module."""
    line = MINE.splitlines().index("class Mine(nn.Module):") + 1
    place = f"title=attn-bench%3A heavier,file=my pkg/mine.py,line={line}"
    assert f"\n::error {place}::heavier: mine" in checked.process.stdout


def test_summary_junit_and_badge_are_there(checked: Checked) -> None:
    """The job summary is the Markdown of the answer; the files lie in the folder of the outputs."""
    summary = (checked.runner.temp / "summary.md").read_text()
    assert "1 case: 1 heavier." in summary
    assert summary == (checked.folder / "attn-bench.md").read_text()
    suite = ElementTree.parse(checked.folder / "attn-bench.xml").getroot()
    assert suite.get("failures") == "1"
    badge = json.loads((checked.folder / "badge.json").read_text())
    assert (badge["message"], badge["color"]) == ("1 heavier", "red")
    assert (checked.folder / "run" / "run.json").is_file()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A job after a check; no module of it runs."""
    (tmp_path / "attn-bench.md").write_text(TEXT)
    request = {"number": 7, "base": {"sha": "a" * 40}, "head": {"sha": "b" * 40}}
    return Runner(tmp_path, tmp_path, {"pull_request": request})


def comment(runner: Runner, api: Api, **inputs: str) -> str:
    """The log of the step `comment`, which must not fail."""
    with serving(api) as runner.api:
        done = runner.run("Comment", {"folder": str(runner.temp)}, **{"suite": "mine", **inputs})
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_comment_is_created_then_updated(runner: Runner) -> None:
    """The second answer replaces the first one; comments of others stay, on any page."""
    others = [{"id": number, "body": f"> quoted {number}"} for number in range(100)]
    api = Api(list(others))
    assert comment(runner, api) == ""
    (runner.temp / "attn-bench.md").write_text("### better\n")
    assert comment(runner, api) == ""
    assert api.comments[:100] == others
    (mine,) = api.comments[100:]
    marker, rest = mine["body"].split("\n", 1)
    assert re.fullmatch("<!-- attn-bench [0-9a-f]{16} -->", marker)
    job = "Commit bbbbbbbbbb, [job](https://github.example/me/net/actions/runs/42)."
    assert rest == f"### better\n\n{job}\n"
    first, second = "/repos/me/net/issues/7/comments", "/repos/me/net/issues/comments/100"
    assert [a for a in api.asked if a[0] != "GET"] == [("POST", first), ("PATCH", second)]
    assert api.tokens == {"Bearer secret"}


def test_each_suite_has_its_comment(runner: Runner) -> None:
    """Two uses of the Action in one job do not overwrite each other."""
    api = Api()
    comment(runner, api)
    comment(runner, api, suite="other")
    assert len({each["body"].partition("\n")[0] for each in api.comments}) == 2


def test_on_a_fork_there_is_one_sentence(runner: Runner) -> None:
    """A token that may only read is no failure."""
    api = Api(refuses=403)
    said = comment(runner, api)
    assert said.count("\n") == 1
    assert said.startswith("no comment: GitHub answered 403: the token may not write")
    assert "secret" not in said
    assert len(api.asked) == 1


@pytest.mark.parametrize("event", [{"before": "c" * 40}, None], ids=["push", "no server"])
def test_without_a_comment_the_job_goes_on(runner: Runner, event: Any) -> None:
    """A push has no pull request; a server may be down."""
    runner.event = event or runner.event
    done = runner.run("Comment", {"folder": str(runner.temp)}, suite="mine")
    assert done.returncode == 0
    assert done.stdout.startswith("no comment: ")
    assert done.stdout.count("\n") == 1


def test_a_long_answer_is_cut_at_a_line(runner: Runner) -> None:
    """A comment is never longer than GitHub takes, and what follows is not folded away."""
    lines = "| same | case |\n" * 10_000
    text = github_action.make_comment(
        runner.environment() | {"SUITE": "mine"}, "b" * 40, f"<details>\n{lines}</details>\n"
    )
    assert len(text) < 65_536
    assert "| same | case |\n\n</details>\n\nThe answer is longer" in text.replace("|\n|", "|\n|")


def finding(verdict: str, severity: str) -> dict[str, str]:
    return {"verdict": verdict, "severity": severity}


SLOWER, FAILED = finding("slower", "fail"), finding("failed", "broken")
OPEN, NEW, SAME = finding("undecided", "undecided"), finding("new", "pass"), finding("same", "pass")
USUAL = ACTION["inputs"]["fail-on"]["default"]


@pytest.mark.parametrize(
    ("status", "findings", "fail_on", "expected"),
    [
        (0, [SAME], USUAL, 0),
        (1, [SLOWER, SAME], USUAL, 1),
        (1, [SLOWER, SAME], "heavier", 0),
        (1, [SLOWER, FAILED], "failed", 1),
        (1, [SLOWER], "never", 0),
        (3, [FAILED], USUAL, 3),
        (3, [FAILED], "slower", 0),
        (3, [SAME], USUAL, 3),  # the run was broken off
        (4, [OPEN], "slower,undecided", 4),
        (4, [SAME], USUAL, 4),  # --must-see
        (4, [SAME], "never", 0),
        (4, [NEW], USUAL, 0),  # the first module
        (4, [NEW], "undecided", 4),
        (2, [], "never", 2),
        (1, [], "never", 1),  # a crash
        (130, [SLOWER], "never", 130),
    ],
)
def test_fail_on_chooses_what_fails(
    status: int, findings: list[dict[str, str]], fail_on: str, expected: int
) -> None:
    """Only the verdicts that are named fail the job; wrong requests and crashes always do."""
    assert github_action.judge(status, findings, github_action.read_fail_on(fail_on)) == expected


def test_a_wrong_input_is_named(runner: Runner) -> None:
    """One line with the nearest word, and status 2, before anything is measured."""
    done = runner.run("Check", suite="mine", fail_on="slowr")
    assert done.returncode == Exit.BAD_REQUEST
    assert done.stderr == (
        "error: fail-on: 'slowr' is not a verdict that can fail the job (did you mean 'slower'?)\n"
    )
    done = runner.run("Check", suite="mine", options="--threads '1")
    assert done.returncode == Exit.BAD_REQUEST
    assert done.stderr.startswith("error: options: ")


def test_the_baseline_is_that_of_the_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base of a pull request, the commit before a push, or what `against` names."""
    git(tmp_path, "init", "-qb", "main")
    first = commit(tmp_path, "a", "1")
    second = commit(tmp_path, "a", "2")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "event.json"

    def base_of(event: Mapping[str, Any], against: str = "") -> str:
        file.write_text(json.dumps(event))
        return github_action.find_baseline(
            {"AGAINST": against, "GITHUB_EVENT_PATH": str(file), "GITHUB_EVENT_NAME": "push"}
        )

    pull_request = {"base": {"sha": first}, "head": {"sha": second}}
    assert base_of({"pull_request": pull_request}) == first
    assert base_of({"merge_group": {"base_sha": first}}) == first
    assert base_of({"before": first}) == first
    assert base_of({"before": first}, "main") == "main"
    assert base_of({"before": first}, "no such") == "no such"  # `check` complains
    for event in ({"before": "0" * 40}, {}):
        with pytest.raises(RequestError, match="has no earlier commit; name a revision"):
            base_of(event)


def test_the_action_installs_itself(runner: Runner) -> None:
    """pip installs the folder of the action."""
    assert runner.run("Install attn-bench").returncode == 0
    assert (runner.workspace / "pip.log").read_text().split()[-1] == str(ROOT)


def test_no_input_reaches_a_shell_as_text() -> None:
    """Expressions stand in `env`, never in `run`; only the comment gets the token."""
    for name, step in STEPS.items():
        assert "${{" not in step.get("run", "")
        assert ("TOKEN" in step.get("env", {})) == (name == "Comment")
    assert "inputs.comment == 'true'" in STEPS["Comment"]["if"]


def test_what_is_copied_has_inputs_that_exist() -> None:
    """Each use of the Action in the documentation and in our own workflow gives known inputs."""
    pages = [ROOT / "docs" / "ci.md", ROOT / "README.md", *(ROOT / ".github").rglob("*.yml")]
    used = [
        set(yaml.safe_load(f"with:\n{block}")["with"])
        for page in pages
        for block in re.findall(
            r"uses: (?:\./|\w+/attn-bench@v0)\n(?: +id: .+\n)? +with:\n((?: {10,}.+\n)+)",
            page.read_text(encoding="utf-8"),
        )
    ]
    assert len(used) >= 2
    for inputs in used:
        assert inputs <= ACTION["inputs"].keys()
        assert "suite" in inputs
