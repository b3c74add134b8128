"""Runs every command of the code blocks in README and docs, as a reader would type it.

    python benchmarks/run_documented.py [--only WORD]

The files that a page shows are written first. RUN, BEFORE, AFTER are copies of the reference run.
Commands that measure have a smaller budget than a reader's (SHORTER), because their figures are not
looked at. A command is wrong if it ends with status 2, in a traceback, or after ten minutes.

Prints a line for each command. Status 1: one is wrong.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)
FILE = re.compile(r"`([\w.]+\.(?:py|toml|csv))`:\n\n```\w*\n(.*?)^```", re.M | re.S)
README_MODULE = re.compile(r"```python\n(from torch.*?my_gate.*?)^```", re.M | re.S)
RUNS = ("RUN", "BEFORE", "AFTER", "before", "after")
TIMEOUT_S = 600
# What is put behind a command that measures, unless it is given already.
SHORTER: Mapping[str, Sequence[str]] = {
    "run": ("--budget", "6", "--sessions", "2"),
    "check": ("--budget", "6", "--sessions", "2"),
    "recommend": ("--budget", "20", "--sessions", "2"),
    "selfcheck": ("--minutes", "1"),
    "work": ("--budget", "6", "--sessions", "2"),
}


def documented() -> Iterator[tuple[str, list[str]]]:
    """Each command of a code block, as its page and its words without the program's name."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                for program in ("attn-bench ", "python -m attn_bench "):
                    if line.startswith(program):
                        words = shlex.split(line.removeprefix(program), comments=True)
                        ends = [i for i, word in enumerate(words) if word in (">", "|")]
                        yield page.name, words[: ends[0]] if ends else words


def prepare(folder: Path, page: str) -> None:
    """The files that the page shows, a stored run under each name, and a git repository."""
    for name in RUNS:
        if not (folder / name).exists():
            shutil.copytree(ROOT / "results" / "reference" / "ge_extents-cpu", folder / name)
    shutil.copytree(folder / "RUN", folder / "results" / "RUN", dirs_exist_ok=True)
    shutil.copy(ROOT / "tests" / "data" / "my_net.py", folder)
    (file,) = (each for each in PAGES if each.name == page and each.parent.name != "results")
    text = file.read_text(encoding="utf-8")
    for shown in ((ROOT / "docs" / "own_module.md").read_text(encoding="utf-8"), text):
        for name, content in FILE.findall(shown):
            (folder / name).write_text(content, encoding="utf-8")
    shutil.copy(folder / "my_attn.py", folder / "my_attn_v1.py")
    for content in README_MODULE.findall(text):
        (folder / "my_gate.py").write_text(content, encoding="utf-8")
    suite = re.search(r"`my_suite.toml`, names.*?```toml\n(.*?)^```", text, re.M | re.S)
    if suite:
        (folder / "my_suite.toml").write_text(suite[1], encoding="utf-8")
    if page in ("paper.md", "report.md"):  # the reference run has no module of the reader
        (folder / "my_gains.csv").write_text("variant,gain\nse,1.1\n", encoding="utf-8")


def shortened(words: Sequence[str]) -> list[str]:
    """The command with a small budget."""
    more = list(SHORTER.get(words[0], ()))
    if words[0] == "selfcheck":
        return [words[0], *more]
    if "--dry-run" in words or "--quick" in words:
        more = []
    return [*words, *more]


def run(words: Sequence[str], folder: Path) -> tuple[int, str]:
    """The status of a command, and the last line of what it printed."""
    cwd = ROOT if "--against" in words else folder
    if "--against" in words:
        words = [word if word != "main" else "HEAD" for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "attn_bench", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    is_crash = "Traceback" in done.stdout or done.returncode not in (0, 1, 3, 4)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    return int(is_crash), f"status {done.returncode}: {last}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="only commands with this word")
    options = parser.parse_args()
    wrong = 0
    done: set[tuple[str, ...]] = set()
    for page, words in documented():
        if tuple(words) in done or (options.only and options.only not in words):
            continue
        done.add(tuple(words))
        with tempfile.TemporaryDirectory(prefix="attn-bench-docs-") as folder:
            prepare(Path(folder), page)
            began = time.monotonic()
            try:
                is_wrong, said = run(shortened(words), Path(folder))
            except subprocess.TimeoutExpired:
                is_wrong, said = 1, f"did not end within {TIMEOUT_S} s"
        wrong += is_wrong
        mark = "WRONG" if is_wrong else "ok"
        print(
            f"{mark:5} {page}: {shlex.join(words)} ({time.monotonic() - began:.0f} s; {said})",
            flush=True,
        )
    print(f"{len(done)} commands, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
