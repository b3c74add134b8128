"""Runs git in a named repository, independent of a hook's variables."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# git sets these for a hook, to name the repository that the hook runs for. They would override the
# folder that we name, and a worktree would be checked out into the index of the commit in progress.
OF_A_HOOK = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_IMPLICIT_WORK_TREE"),
)


def run_git(where: Path, *words: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """`git WORDS…` in `where`. Raises OSError without git, TimeoutExpired after `timeout_s`."""
    return subprocess.run(
        ["git", "-C", str(where), *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={name: value for name, value in os.environ.items() if name not in OF_A_HOOK},
    )
