"""A git branch that holds the files of runs and nothing else, in one commit without a parent."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from attn_bench.model.bounds import MOST_BYTES
from attn_bench.model.errors import RequestError
from attn_bench.model.git import ask_git, read_objects
from attn_bench.store.files import naming, write_atomically
from attn_bench.store.kept import KEPT

OPTION = "--store"
MESSAGE = "Runs of attn-bench"
AUTHOR = ("-c", "user.name=attn-bench", "-c", "user.email=attn-bench@localhost")
FILE_MODE, FOLDER_MODE = "100644", "040000"
OUTSIDE = ("..", "/", "//")  # what leads out of a folder; a tree of another's making may have it


def check_name(root: Path, branch: str) -> None:
    """Raise RequestError if no branch can have this name, or if a working tree is on it."""
    refusal = RequestError(f"{OPTION} git:{branch}: no branch can have this name")
    try:
        named = ask_git(root, "check-ref-format", "--branch", branch, of=OPTION)
    except RequestError:
        raise refusal from None
    if named != branch:  # as @{-1}
        raise refusal
    trees = ask_git(root, "worktree", "list", "--porcelain", of=OPTION).splitlines()
    if f"branch refs/heads/{branch}" in trees:
        raise RequestError(f"{OPTION} git:{branch}: is checked out: name a branch for runs alone")


def find_branch(root: Path, branch: str) -> str | None:
    """The commit of a branch; None if it does not exist."""
    words = ("for-each-ref", "--format=%(objectname)\t%(refname)", f"refs/heads/{branch}")
    return _find_ref(ask_git(root, *words, of=OPTION), branch)


def _find_ref(listed: str, branch: str) -> str | None:
    """The commit of a branch in lines of a commit and a ref; git lists refs that are alike, too."""
    commits = {ref: commit for commit, ref in (line.split("\t") for line in listed.splitlines())}
    return commits.get(f"refs/heads/{branch}")


def check_out(root: Path, commit: str, folder: Path) -> None:
    """Write the files of a commit of runs into `folder`.

    Raises RequestError if it has other files, as a branch of code has.
    """
    files: dict[PurePosixPath, str] = {}
    for line in ask_git(root, "ls-tree", "-r", "-l", "-z", commit, of=OPTION).split("\0"):
        if not line:
            continue
        facts, _, name = line.partition("\t")
        mode, _, blob, size = facts.split()
        path = PurePosixPath(name)
        is_of_run = len(path.parts) == 2 and path.parts[0] not in OUTSIDE and path.name in KEPT
        if not is_of_run or mode != FILE_MODE:
            raise RequestError(
                f"{OPTION}: {name} of that branch is no file of a run: name a branch for runs alone"
            )
        if not size.isdigit():
            raise RequestError(f"{OPTION}: {name} of that branch is missing or damaged")
        if int(size) > MOST_BYTES:
            raise RequestError(f"{OPTION}: {name} of that branch is larger than 1 GiB")
        files[path] = blob
    with naming(folder):
        for path, content in zip(files, read_objects(root, [*files.values()], OPTION), strict=True):
            (folder / path.parent).mkdir(exist_ok=True)
            write_atomically(folder / path, content)


def commit(root: Path, folder: Path) -> str:
    """A commit without a parent, of the runs in `folder`; no branch holds it yet."""
    files = [file for name in KEPT for file in sorted(folder.glob(f"*/{name}"))]
    names = "".join(f"{file.resolve()}\n" for file in files)
    blobs = ask_git(
        root, "hash-object", "-w", "--no-filters", "--stdin-paths", of=OPTION, given=names
    )
    runs: dict[str, dict[str, str]] = {}
    for file, blob in zip(files, blobs.split(), strict=True):
        runs.setdefault(file.parent.name, {})[file.name] = blob
    entries = [
        "".join(f"{FILE_MODE} blob {blob}\t{name}\0" for name, blob in sorted(members.items()))
        for members in runs.values()
    ]
    trees = ask_git(root, "mktree", "-z", "--batch", of=OPTION, given="\0".join([*entries, ""]))
    lines = zip(runs, trees.split(), strict=True)
    top = "".join(f"{FOLDER_MODE} tree {tree}\t{name}\0" for name, tree in lines)
    tree = ask_git(root, "mktree", "-z", of=OPTION, given=top)
    return ask_git(root, *AUTHOR, "commit-tree", "-m", MESSAGE, tree, of=OPTION)


def has_same_files(root: Path, first: str, second: str) -> bool:
    """Whether two commits hold the same files."""
    trees = (ask_git(root, "rev-parse", f"{each}^{{tree}}", of=OPTION) for each in (first, second))
    return next(trees) == next(trees)


def move(root: Path, branch: str, old: str | None, new: str) -> bool:
    """Let a branch hold `new`; False if it is not at `old` any more."""
    words = ("update-ref", "-m", MESSAGE, f"refs/heads/{branch}", new, old or "0" * len(new))
    try:
        ask_git(root, *words, of=OPTION)
    except RequestError:
        if find_branch(root, branch) == old:
            raise
        return False
    return True


def fetch(root: Path, remote: str, branch: str) -> str | None:
    """The commit of a branch of a remote, which is fetched; None if it has no such branch."""
    listed = ask_git(root, "ls-remote", "--", remote, f"refs/heads/{branch}", of="--push")
    commit = _find_ref(listed, branch)
    if commit is not None:  # by its hash: another process may write FETCH_HEAD
        words = ("fetch", "--quiet", "--no-tags", "--refmap=", "--", remote, commit)
        ask_git(root, *words, of="--push")
    return commit


def push(root: Path, remote: str, branch: str, old: str | None, new: str) -> bool:
    """Let the branch of a remote hold `new`; False if it is not at `old` any more.

    The hook `pre-push` does not run: it is for code, and may measure.
    """
    lease = f"--force-with-lease=refs/heads/{branch}:{old or ''}"
    words = ("push", "--quiet", "--no-verify", lease, "--", remote, f"{new}:refs/heads/{branch}")
    try:
        ask_git(root, *words, of="--push")
    except RequestError:
        if fetch(root, remote, branch) == old:
            raise
        return False
    return True
