"""Runs git in a named repository, independent of a hook's variables."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from attn_bench.model.errors import RequestError, nearest

TIMEOUT_S = 120

# git sets these for a hook, to name the repository that the hook runs for. They would override the
# folder that we name, and a worktree would be checked out into the index of the commit in progress.
OF_A_HOOK = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_IMPLICIT_WORK_TREE"),
)


def run_git(
    where: Path, *words: str, timeout_s: float, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """`git WORDS…` in `where`. Raises OSError without git, TimeoutExpired after `timeout_s`.

    given: its standard input; by default that of this process.
    """
    return subprocess.run(
        ["git", "-C", str(where), *words],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=timeout_s,
        env=_environment(),
        input=given,
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}


def find_root(where: Path | None = None) -> Path | None:
    """The repository around a folder; None without one."""
    here = (where or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)


def ask_git(where: Path, *words: str, of: str, given: str | None = None) -> str:
    """What `git WORDS…` prints in `where`.

    of: the option that asked, which begins the message of an error.
    given: its standard input.
    Raises RequestError if git is missing, fails, or takes too long.
    """
    try:
        done = run_git(where, *words, timeout_s=TIMEOUT_S, given=given)
    except FileNotFoundError:
        raise RequestError(f"{of}: git is not installed here") from None
    except subprocess.TimeoutExpired:
        raise RequestError(f"{of}: git {words[0]} took longer than {TIMEOUT_S} s") from None
    if done.returncode:
        errors = done.stderr.strip().splitlines()
        raise RequestError(f"{of}: git: {errors[0] if errors else words[0]}")
    return done.stdout.strip()


def find_commit(root: Path, name: str, of: str) -> str:
    """The hash of the commit that `name` means. Raises RequestError with the nearest name."""
    try:
        return ask_git(
            root,
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            f"{name}^{{commit}}",
            of=of,
        )
    except RequestError:
        words = ("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags")
        known = ask_git(root, *words, of=of)
        hint = nearest(name, known.split()) if known else " (the repository has no commit)"
        shallow = ask_git(root, "rev-parse", "--is-shallow-repository", of=of) == "true"
        why = "; the clone is shallow: fetch more of it" if shallow else ""
        raise RequestError(f"{of} {name}: no such revision{hint}{why}") from None


def read_objects(root: Path, objects: Sequence[str], of: str) -> Iterator[bytes]:
    """The contents of these objects, byte by byte as they were stored. Raises RequestError."""
    words = ["git", "-C", str(root), "cat-file", "--batch"]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    ) as git:
        assert git.stdin is not None
        assert git.stdout is not None
        for each in objects:
            git.stdin.write(f"{each}\n".encode())
            git.stdin.flush()
            *_, size = git.stdout.readline().split() or [b""]
            content = git.stdout.read(int(size) + 1) if size.isdigit() else b""
            if not content.endswith(b"\n") or len(content) != int(size) + 1:
                raise RequestError(f"{of}: git: the object {each} is missing or damaged")
            yield content[:-1]


def find_commit_page(root: Path) -> str | None:
    """What, followed by a hash, is the page of a commit, on the host of `origin`; None without one.

    A password in the address is left out.
    """
    try:
        address = ask_git(root, "remote", "get-url", "origin", of="git")
    except RequestError:
        return None
    return page_of(address)


def page_of(address: str) -> str | None:
    """The pages of commits of a remote.

    >>> page_of("git@git.example.org:me/mine.git"), page_of("https://me:pw@example.org/me/mine")
    ('https://git.example.org/me/mine/commit/', 'https://example.org/me/mine/commit/')
    >>> page_of("../mine.git")
    """
    found = re.fullmatch(
        r"(?:(?:https|ssh)://(?:[^@/]*@)?|[^@/:]+@)([\w.-]+)(?::\d+)?[/:]([\w./-]+?)(?:\.git)?/?",
        address,
    )
    return f"https://{found[1]}/{found[2]}/commit/" if found else None


def list_commits(root: Path, *what: str, of: str) -> list[str]:
    """The hashes of these commits, parents before children."""
    return ask_git(root, "rev-list", "--topo-order", "--reverse", *what, of=of).split()
