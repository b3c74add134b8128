"""Keeps the runs of ./results/ beside the code: in a folder, or in a branch of the repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from attn_bench.model.errors import RequestError
from attn_bench.model.git import find_root
from attn_bench.store import branch as git_branch
from attn_bench.store.kept import Change, keep
from attn_bench.store.runs import RESULTS

GIT = "git:"
MOST = 500
ATTEMPTS = 20  # at a branch that others write at the same moment


@dataclass(frozen=True)
class StoreRequest:
    """Where runs are kept.

    place: a folder, or git:BRANCH.
    most: the runs of one suite on one machine that stay.
    push: a remote of the repository; its branch is fetched before, and pushed to after.
    """

    place: str
    most: int = MOST
    push: str | None = None

    def __post_init__(self) -> None:
        """Raise RequestError for a request that cannot be carried out."""
        if self.push is not None and not self.place.startswith(GIT):
            raise RequestError("--push needs --store git:BRANCH")
        if not self.place or self.place == GIT:
            raise RequestError("--store must be a folder or git:BRANCH")


class Kept:
    """A store that is in use. `folder` holds its runs."""

    def __init__(self, request: StoreRequest, folder: Path) -> None:
        self.folder = folder
        self._request = request

    def update(self) -> Change:
        """Add the runs of ./results/. Raises RequestError."""
        return keep(Path(RESULTS), self.folder, self._request.most)


class _InBranch(Kept):
    """A store in a branch; `folder` is a copy of it."""

    def __init__(self, request: StoreRequest, folder: Path) -> None:
        super().__init__(request, folder)
        root = find_root()
        if root is None:
            raise RequestError(f"--store {request.place}: this folder is in no git repository")
        self._root = root
        self._branch = request.place.removeprefix(GIT)
        git_branch.check_name(root, self._branch)
        self._fetch()

    def _fetch(self) -> None:
        """Bring the runs of the branch, and of the remote's branch, into the folder."""
        remote = self._request.push
        self._ours = git_branch.find_branch(self._root, self._branch)
        self._theirs = git_branch.fetch(self._root, remote, self._branch) if remote else None
        for commit in (self._ours, self._theirs):
            if commit is not None:
                git_branch.check_out(self._root, commit, self.folder)

    def update(self) -> Change:
        added = 0
        for _ in range(ATTEMPTS):
            change = super().update()
            added += change.added
            if self._store():
                return replace(change, added=added)
            self._fetch()
        raise RequestError(
            f"--store git:{self._branch}: others wrote it meanwhile, {ATTEMPTS} times: repeat this"
        )

    def _store(self) -> bool:
        """Write the folder into the branch; False if another process did so meanwhile."""
        root, remote = self._root, self._request.push
        if not any(self.folder.iterdir()):
            return True
        new = git_branch.commit(root, self.folder)
        for held in (self._ours, self._theirs):  # the same files need no other commit
            if held is not None and git_branch.has_same_files(root, held, new):
                new = held
        if (
            remote is not None
            and new != self._theirs
            and not git_branch.push(root, remote, self._branch, self._theirs, new)
        ):
            return False
        return new == self._ours or git_branch.move(root, self._branch, self._ours, new)


@contextmanager
def open_store(request: StoreRequest) -> Iterator[Kept]:
    """The store of a request. Raises RequestError if it cannot be read."""
    if not request.place.startswith(GIT):
        yield Kept(request, Path(request.place))
        return
    with TemporaryDirectory(prefix="attn-bench-store-") as folder:
        try:
            yield _InBranch(request, Path(folder))
        except RequestError as problem:
            raise RequestError(str(problem).replace(folder, request.place)) from None
