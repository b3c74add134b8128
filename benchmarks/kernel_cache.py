"""A cache of the kernel for tests and attacks; its compiler is quick and counts its calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from attn_bench.modules.ge_build import SYMBOL

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 120
COMPILER = shutil.which("c++") or shutil.which("g++")
COUNTS = 'echo compiled >> "$(dirname "$0")/calls"\n'
# Compiles a kernel of one line in place of the real one.
QUICK = f"""
while [ "$1" != -o ]; do shift; done
echo 'extern "C" int {SYMBOL}() {{ return 7; }}' | {COMPILER} -x c++ -shared -fPIC -o "$2" -
"""
LOADS = """
import warnings
from attn_bench.modules.ge_build import load_library
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    library = load_library()
print(library.gather_excite() if library else None, *[str(each.message) for each in caught])
"""


class Cache:
    """The folders of a cache and of its compiler below `base`."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "cache"
        self.folder.mkdir(mode=0o700)
        self.compiler = self.compile_by(QUICK)
        self.environment = {"XDG_CACHE_HOME": str(self.folder), "CXX": str(self.compiler)}

    def compile_by(self, body: str) -> Path:
        """Make a shell script of `body` the compiler; its calls are counted."""
        file = self.base / "c++"
        file.write_text(f"#!/bin/sh\n{COUNTS}{body}\n")
        file.chmod(0o755)
        return file

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """A process that uses the kernel."""
        return subprocess.Popen(
            [sys.executable, "-c", LOADS],
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def load(self, **environment: str) -> str:
        """What such a process prints: 7, or None and a warning."""
        return result_of(self.start(**environment))

    @property
    def compilations(self) -> int:
        calls = self.base / "calls"
        return len(calls.read_text().splitlines()) if calls.exists() else 0

    @property
    def library(self) -> Path:
        (found,) = self.folder.rglob("*.so")
        return found


def result_of(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=TIMEOUT_S)
    return out.strip()
