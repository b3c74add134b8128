"""States of the kernel's cache for `attack.py`, as other processes find them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from attack_sandbox import Sandbox, Section
from kernel_cache import Cache, result_of

WARNING = "Gather-Excite runs on PyTorch's operators"
ENDINGS = ("so", "sha256", "lock", "failed")
Change = Callable[[Path], object]
CHANGES: dict[str, Change] = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "other bytes": lambda file: file.write_bytes(os.urandom(4096)),
    "gone": lambda file: file.unlink(missing_ok=True),
    "a folder": lambda file: (file.unlink(missing_ok=True), file.mkdir()),
    "a folder with a file": lambda file: (
        file.unlink(missing_ok=True),
        file.mkdir(),
        (file / "x").touch(),
    ),
    "a broken link": lambda file: (file.unlink(missing_ok=True), file.symlink_to("nowhere")),
    "a pipe": lambda file: (file.unlink(missing_ok=True), os.mkfifo(file)),
    "writable by others": lambda file: file.touch() or file.chmod(0o666),
}
COMPILERS = {
    "true": "exit 0",
    "false": "exit 1",
    "garbage": 'while [ "$1" != -o ]; do shift; done; echo x > "$2"',
    "killed": "kill -KILL $$",
    "no script": None,
}


def attack_caches(box: Sandbox, section: Section) -> None:
    """Every state, as three processes find it; the last two start together.

    Wrong: another output than 7, or operators with one warning; a process that dies; compiling anew
    in the second process; what is left of a compilation.
    """
    for ending in ENDINGS:
        for name, change in CHANGES.items():
            section.note(f".{ending} {name}", _try_cache(box.cwd, ending, change) or box.trespass())
    for name, body in COMPILERS.items():
        section.note(f"compiler: {name}", _try_compiler(box.cwd, body) or box.trespass())


def _open_cache(cwd: Path) -> Cache:
    base = cwd / "kernel"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(mode=0o700)
    return Cache(base)


def _judge(cache: Cache, most_compilations: int) -> str | None:
    found = [cache.load(), *(result_of(each) for each in [cache.start(), cache.start()])]
    for text in found:
        if text != "7" and not (text.startswith("None") and text.count(WARNING) == 1):
            return f"printed {text[-200:]!r}"
    if cache.compilations > most_compilations:
        return f"compiled {cache.compilations} times"
    left = [file.name for file in cache.folder.rglob("*.part")]
    return f"left {left[0]}" if left else None


def _try_cache(cwd: Path, ending: str, change: Change) -> str | None:
    cache = _open_cache(cwd)
    if (first := cache.load()) != "7":
        return f"the first process printed {first[-200:]!r}"
    target = cache.library.with_suffix(f".{ending}")
    if ending == "failed":
        target.touch()
    change(target)
    return _judge(cache, most_compilations=2)


def _try_compiler(cwd: Path, body: str | None) -> str | None:
    cache = _open_cache(cwd)
    if body is None:
        cache.compiler.write_text("")
    else:
        cache.compile_by(body)
    return _judge(cache, most_compilations=1)
