"""Checks out another revision of the user's repository for as long as it is needed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from attn_bench.catalog.code import NATIVE
from attn_bench.catalog.source import Source, find_source
from attn_bench.model.errors import RequestError
from attn_bench.model.git import ask_git, find_commit
from attn_bench.model.paths import MODULES

CODE = tuple(f"*{ending}" for ending in (".py", *NATIVE))
OWN_MODULES = MODULES.resolve()


@dataclass(frozen=True)
class Revision:
    """A revision on disk.

    modules: its folder of built-in modules; None if the repository has none.
    words: its versions of what `--modules-from` names.
    is_dirty: whether the working tree has uncommitted changes in its code.
    root: the working tree; tree: the revision's.
    """

    name: str
    commit: str
    modules: Path | None
    words: tuple[str, ...]
    is_dirty: bool
    root: Path
    tree: Path

    @property
    def shown(self) -> str:
        """The name and the commit for people, or the commit alone if that was the name."""
        short = self.commit[:10]
        return short if self.name == self.commit else f"{self.name} ({short})"


@contextmanager
def check_out(name: str, words: Sequence[str]) -> Iterator[Revision]:
    """Check out `name` in a worktree, with its versions of what `words` name; remove it later.

    Raises RequestError if git, the repository or the revision is missing, or if the repository
    contains neither the built-in modules nor the code of `words`.
    """
    root = Path(_git(Path.cwd(), "rev-parse", "--show-toplevel")).resolve()
    commit = find_commit(root, name, "--against")
    ours = _inside(root, OWN_MODULES)
    theirs = [_in_repository(root, name, find_source(word)) for word in words]
    if ours is None and not theirs:
        raise RequestError(
            f"--against {name}: {root} contains neither attn-bench's modules nor a file of "
            "--modules-from: nothing to compare"
        )
    is_dirty = bool(_git(root, "status", "--porcelain", "--", *CODE))
    _clear_up(root)
    with tempfile.TemporaryDirectory(prefix=f"attn-bench-{os.getpid()}-") as folder:
        tree = Path(folder, "base")
        # No hooks: the user's hooks must not run for our worktree.
        quiet = ("-c", "core.hooksPath=/dev/null")
        _git(root, *quiet, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            package = tree / ours if ours and (tree / ours / "__init__.py").is_file() else None
            found = tuple(str(tree / path) for path in theirs if (tree / path).is_file())
            yield Revision(name, commit, package, found, is_dirty, root, tree)
        finally:
            with suppress(RequestError):
                _git(root, "worktree", "remove", "--force", str(tree))


def _clear_up(root: Path) -> None:
    """Remove the worktrees of killed checks."""
    for line in _git(root, "worktree", "list", "--porcelain").splitlines():
        tree = Path(line.removeprefix("worktree "))
        made = re.fullmatch(r"attn-bench-(\d+)-\w+", tree.parent.name)
        if line.startswith("worktree ") and made and not psutil.pid_exists(int(made[1])):
            with suppress(RequestError):  # damaged: its folder is removed anyway
                _git(root, "worktree", "remove", "--force", "--force", str(tree))
            shutil.rmtree(tree.parent, ignore_errors=True)
            with suppress(RequestError):
                _git(root, "worktree", "prune")


def _in_repository(root: Path, name: str, source: Source) -> Path:
    """The file of `source`, from the root of the repository."""
    inside = _inside(root, source.file)
    if inside is None:
        raise RequestError(f"--against {name}: {source.word} is not in the repository {root}")
    return inside


def _inside(root: Path, path: Path) -> Path | None:
    return path.relative_to(root) if path.is_relative_to(root) else None


def _git(where: Path, *words: str) -> str:
    return ask_git(where, *words, of="--against")
