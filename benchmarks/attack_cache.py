"""States of the kernel's cache for `attack.py`, as other processes find them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from attack_faults import ROOT, TIMEOUT_S
from attack_sandbox import Sandbox, Section

from attn_bench.modules.ge_build import SYMBOL

COMPILER = shutil.which("c++") or shutil.which("g++")
QUICK = f"""#!/bin/sh
echo x >> "$(dirname "$0")/calls"
while [ "$1" != -o ]; do shift; done
echo 'extern "C" int {SYMBOL}() {{ return 7; }}' | {COMPILER} -x c++ -shared -fPIC -o "$2" -
"""
LOAD = """
import warnings
from attn_bench.modules.ge_build import load_library
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    library = load_library()
print(library.gather_excite() if library else "operators", len(caught))
"""
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


def _cache(cwd: Path) -> tuple[Path, dict[str, str]]:
    base = cwd / "cache"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(mode=0o700)
    compiler = base / "c++"
    compiler.write_text(QUICK)
    compiler.chmod(0o755)
    return base, {"XDG_CACHE_HOME": str(base), "CXX": str(compiler)}


def _start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _calls(base: Path) -> int:
    file = base / "calls"
    return len(file.read_text()) // 2 if file.exists() else 0


def _ends(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    return [process.communicate(timeout=TIMEOUT_S)[0].strip() for process in processes]


def _judge(base: Path, environment: dict[str, str], most_calls: int) -> str | None:
    found = [*_ends([_start(environment)]), *_ends([_start(environment), _start(environment)])]
    if wrong := [text for text in found if text not in ("7 0", "operators 1")]:
        return f"printed {wrong[0][-200:]!r}"
    if (calls := _calls(base)) > most_calls:
        return f"compiled {calls} times"
    left = [file.name for file in base.rglob("*.part")]
    return f"left {left[0]}" if left else None


def _try_cache(cwd: Path, ending: str, change: Change) -> str | None:
    base, environment = _cache(cwd)
    if (first := _ends([_start(environment)])) != ["7 0"]:
        return f"the first process printed {first[0][-200:]!r}"
    (library,) = base.rglob("*.so")
    target = library.with_suffix(f".{ending}")
    if ending == "failed":
        target.touch()
    change(target)
    return _judge(base, environment, most_calls=2)


def _try_compiler(cwd: Path, body: str | None) -> str | None:
    base, environment = _cache(cwd)
    text = "" if body is None else f'#!/bin/sh\necho x >> "$(dirname "$0")/calls"\n{body}\n'
    (base / "c++").write_text(text)
    return _judge(base, environment, most_calls=1)
