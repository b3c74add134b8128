"""Counts the files that each kind of change touches, by making it in a copy of the tree.

    python benchmarks/change_cost.py [NAME …]

NAME is a kind of change; all by default. A change is a list of edits. It counts only if commands of
the program, run in the copy, show the change. Prints a line for each kind: the number of source
files, the most that the design allows, and their names. Status 1: a kind costs more, or a command
does not show it. If an edit no longer matches its file, update it in `changes.py`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from changes import CHANGES, Change

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("attn_bench/", "modules/")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CHANGES))
    names = parser.parse_args().names or list(CHANGES)
    if unknown := [name for name in names if name not in CHANGES]:
        parser.error(f"unknown change {unknown[0]!r} (known: {', '.join(CHANGES)})")
    return 1 if [name for name in names if not is_kept(name, CHANGES[name])] else 0


def is_kept(name: str, change: Change) -> bool:
    """Make the change in a copy, try it, and print its cost; True if the limit is kept."""
    with tempfile.TemporaryDirectory(prefix="attn-bench-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        make(change, tree)
        touched = touched_files(tree)
        seen = [(words, shows, run(words, tree)) for words, shows in change.probes]
    failed = [(words, printed) for words, shows, printed in seen if shows not in printed]
    is_cheap = len(touched) <= change.most
    verdict = "ok" if is_cheap and not failed else "TOO MANY" if not is_cheap else "NOT SHOWN"
    print(f"{name:14} {len(touched)} of {change.most}  {verdict}  {', '.join(touched)}", flush=True)
    for words, printed in failed:
        print(f"not shown by {words}:\n{printed}")
    return is_cheap and not failed


def copy_tree(to: Path) -> None:
    """Copy the files that git tracks into a new repository."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        source, target = ROOT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    for words in (("init", "-q"), ("add", "-A"), ("-c", "user.name=x", *COMMIT)):
        subprocess.run(["git", *words], cwd=to, check=True)


COMMIT = ("-c", "user.email=x@example.org", "commit", "-q", "-m", "before")


def make(change: Change, tree: Path) -> None:
    for name, content in change.files.items():
        (tree / name).write_text(content, encoding="utf-8")
    for name, edits in change.edits.items():
        text = (tree / name).read_text(encoding="utf-8")
        for old, new in edits:
            if text.count(old) != 1:
                raise SystemExit(f"{name}: contains {old!r} {text.count(old)} times, not once")
            text = text.replace(old, new)
        (tree / name).write_text(text, encoding="utf-8")


def touched_files(tree: Path) -> list[str]:
    """The source files that differ from the commit, without docs, tests and the user's files."""
    status = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=tree, capture_output=True, text=True
    )
    names = [line[3:] for line in status.stdout.splitlines()]
    return sorted(name for name in names if name.startswith(SOURCES))


def run(words: str, tree: Path) -> str:
    """The output of `attn-bench WORDS` in the copy, and the tables that it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "attn_bench", *shlex.split(words)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    tables = [file.read_text(encoding="utf-8") for file in tree.glob("results/2*/table.csv")]
    return "\n".join([done.stdout, done.stderr, *tables])


if __name__ == "__main__":
    sys.exit(main())
