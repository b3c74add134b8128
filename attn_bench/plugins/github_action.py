"""The steps of the GitHub Action (`action.yml`): the check, and the comment with its answer.

    python -P -m attn_bench.plugins.github_action check|comment

The inputs are environment variables, as GitHub's runner sets them. The step `check` runs the code
of the pull request, and gets no token. The step `comment` gets the token, and runs no such code.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.git import run_git
from attn_bench.model.status import Exit
from attn_bench.view.console import plain

# The files of an answer, by the option of `check` that writes it.
FILES = {
    "markdown": "attn-bench.md",
    "junit": "attn-bench.xml",
    "json": "attn-bench.json",
    "badge": "badge.json",
}
NEVER = "never"
FAILING = ("slower", "heavier", "missing", "failed", "undecided")
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
GIT_TIMEOUT_S = 300
HTTP_TIMEOUT_S = 30
PAGE = 100  # comments; the most that GitHub lists at once
MOST_CHARACTERS = 60_000  # of a comment; GitHub takes 65,536


def main(words: Sequence[str]) -> int:
    steps = {"check": check, "comment": comment}
    try:
        return steps[words[0]](os.environ)
    except RequestError as problem:
        plain.error(str(problem))
        return Exit.BAD_REQUEST


# --- The check ------------------------------------------------------------------------------------


def check(given: Mapping[str, str]) -> int:
    """Run `attn-bench check`, and set the outputs `folder` and `status`.

    Returns the status of the check, or 0 if `fail-on` does not name what it found.
    Raises RequestError for a wrong input.
    """
    fail_on = read_fail_on(given["FAIL_ON"])
    baseline = find_baseline(given)
    folder = Path(tempfile.mkdtemp(prefix="attn-bench-", dir=given["RUNNER_TEMP"]))
    sources = [line.strip() for line in given["MODULES_FROM"].splitlines()]
    words = [
        f"--suite={given['SUITE']}",
        f"--against={baseline}",
        *(f"--modules-from={source}" for source in sources if source),
        *([f"--budget={given['BUDGET']}"] if given["BUDGET"] else []),
        *([] if "undecided" in fail_on else ["--allow-undecided"]),
        f"--out={folder / 'run'}",
        *(f"--{name}={folder / file}" for name, file in FILES.items()),
        *_split(given["OPTIONS"]),
    ]
    done = subprocess.run([sys.executable, "-P", "-m", "attn_bench", "check", *words], check=False)
    with Path(given["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as outputs:
        outputs.write(f"folder={folder}\nstatus={done.returncode}\n")
    status = judge(done.returncode, _read_findings(folder / FILES["json"]), fail_on)
    if status != done.returncode:
        plain.line(f"status {done.returncode} does not fail this step (fail-on)")
    return status


def _split(options: str) -> list[str]:
    try:
        return shlex.split(options)
    except ValueError as error:
        raise RequestError(f"options: {options!r}: {error}") from None


def read_fail_on(words: str) -> set[str]:
    """The verdicts that fail the step; empty for `never`. Raises RequestError.

    >>> sorted(read_fail_on("slower, failed")), read_fail_on("never")
    (['failed', 'slower'], set())
    """
    found = {word.strip() for word in words.split(",")}
    if found == {NEVER}:
        return set()
    for word in sorted(found - {*FAILING}):
        hint = nearest(word, (*FAILING, NEVER))
        raise RequestError(f"fail-on: {word!r} is not a verdict that can fail the job{hint}")
    return found


def judge(status: int, findings: Sequence[Mapping[str, Any]], fail_on: Collection[str]) -> int:
    """`status`, or 0 if the step passes, because `fail_on` contains none of the bad verdicts.

    A wrong request, an interrupted check and a crash always fail it. So does a slowdown that
    `--must-see` could not see, unless nothing fails it.
    """
    if not findings or status not in (Exit.BAD_ANSWER, Exit.NOT_MEASURED, Exit.UNDECIDED):
        return status
    bad = {
        finding["verdict"] for finding in findings if finding["severity"] not in ("pass", "warn")
    }
    if status == Exit.NOT_MEASURED:
        bad.add("failed")
    elif status == Exit.UNDECIDED:
        if fail_on and any(each["verdict"] != "new" for each in findings):
            return status
        bad.add("undecided")
    return status if bad & set(fail_on) else Exit.GOOD


def _read_findings(file: Path) -> list[dict[str, Any]]:
    """The findings of the answer; empty if the check did not get so far."""
    if not file.is_file():
        return []
    found: list[dict[str, Any]] = json.loads(file.read_bytes())["findings"]
    return found


def find_baseline(given: Mapping[str, str]) -> str:
    """The revision to compare with: the input `against`, or what the event changed.

    A revision that the clone does not have is fetched. Raises RequestError if the event has none.
    """
    event = _read_event(given)
    revision = given["AGAINST"] or _find_base(event)
    if not revision.strip("0"):  # the first push of a branch has only zeros
        name = given.get("GITHUB_EVENT_NAME", "?")
        raise RequestError(f"against: the event {name} has no earlier commit; name a revision")
    if _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"):
        return revision
    is_shallow = _git("rev-parse", "--is-shallow-repository") == "true"
    depth = ["--depth=1"] if is_shallow else []
    _git("fetch", "--quiet", *depth, "--end-of-options", "origin", revision)
    return _git("rev-parse", "--verify", "--quiet", "FETCH_HEAD") or revision


def _find_base(event: Mapping[str, Any]) -> str:
    """The commit that an event started from; empty if it has none.

    GitHub tests a pull request on its merge with the base, whose first parent is the newest base.
    """
    if pull_request := event.get("pull_request"):
        commit = _git("cat-file", "commit", "HEAD").partition("\n\n")[0].splitlines()
        parents = [line.removeprefix("parent ") for line in commit if line.startswith("parent ")]
        if len(parents) == 2 and parents[1] == pull_request["head"]["sha"]:
            return parents[0]
        return str(pull_request["base"]["sha"])
    return str(event.get("merge_group", {}).get("base_sha") or event.get("before") or "")


def _git(*words: str) -> str:
    """What git prints; empty if it fails, and `check` then says what is wrong."""
    done = run_git(Path.cwd(), *words, timeout_s=GIT_TIMEOUT_S)
    return "" if done.returncode else done.stdout.strip()


def _read_event(given: Mapping[str, str]) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(Path(given["GITHUB_EVENT_PATH"]).read_bytes())
    return event


# --- The comment ----------------------------------------------------------------------------------


def comment(given: Mapping[str, str]) -> int:
    """Write the answer into the comment of this job on the pull request, or create it.

    Returns 0 even if that is not possible: the answer is in the job summary.
    """
    pull_request = _read_event(given).get("pull_request")
    answer = Path(given["FOLDER"], FILES["markdown"])
    if pull_request is None or not answer.is_file():
        plain.line("no comment: there is no pull request, or no answer")
        return Exit.GOOD
    text = make_comment(given, pull_request["head"]["sha"], answer.read_text(encoding="utf-8"))
    try:
        _send(given, pull_request["number"], text)
    except HTTPError as error:
        why = f"GitHub answered {error.code}"
        if error.code in REFUSED:
            why += ": the token may not write, as in a pull request from a fork (docs/ci.md)"
        plain.line(f"no comment: {why}")
    except OSError as error:
        plain.line(f"no comment: {error}")
    return Exit.GOOD


def make_comment(given: Mapping[str, str], commit: str, answer: str) -> str:
    """The text of the comment; its first line is hidden, and marks the job and the suite."""
    job = "\n".join(given[name] for name in ("GITHUB_WORKFLOW", "GITHUB_JOB", "SUITE"))
    marker = f"<!-- attn-bench {hashlib.sha256(job.encode()).hexdigest()[:16]} -->"
    if len(answer) > MOST_CHARACTERS:
        answer = answer[:MOST_CHARACTERS].rpartition("\n")[0]
        is_folded = answer.count("<details>") > answer.count("</details>")
        end = "\n\n</details>" if is_folded else ""
        answer += f"{end}\n\nThe answer is longer: the job summary has all of it.\n"
    run = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format(**given)
    return f"{marker}\n{answer}\nCommit {commit[:10]}, [job]({run}).\n"


def _send(given: Mapping[str, str], number: int, text: str) -> None:
    """Update the comment that begins with the same line as `text`, or create one."""
    issues = "{GITHUB_API_URL}/repos/{GITHUB_REPOSITORY}/issues".format(**given)
    marker, page = text.partition("\n")[0], 1
    while True:
        there = f"{issues}/{number}/comments?per_page={PAGE}&page={page}"
        comments = _ask(given, "GET", there)
        for known in comments:
            if str(known["body"]).startswith(marker):
                _ask(given, "PATCH", f"{issues}/comments/{known['id']}", text)
                return
        if len(comments) < PAGE:
            break
        page += 1
    _ask(given, "POST", f"{issues}/{number}/comments", text)


def _ask(given: Mapping[str, str], method: str, address: str, body: str | None = None) -> Any:
    """The answer of GitHub's API. Raises OSError."""
    request = urllib.request.Request(
        address,
        None if body is None else json.dumps({"body": body}).encode(),
        {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {given['TOKEN']}",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
        method=method,
    )
    with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
