"""Compiles `ge_cpu.cpp` with the machine's own compiler, once, and keeps the result."""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import hashlib
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

from .ge_cache import Kept, Unusable, open_folder

SOURCE = Path(__file__).with_name("ge_cpu.cpp")
SYMBOL = "gather_excite"
FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"),
    *("-fopenmp", "-fPIC", "-shared"),
)
TIMEOUT_S = 300
# Loads a library in a separate process, since a damaged one may kill the process that loads it.
TRY = f"import ctypes, sys; ctypes.CDLL(sys.argv[1]).{SYMBOL}"
TRY_TIMEOUT_S = 60


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """The kernel, compiled for this machine; None, with one warning, where it cannot be had."""
    try:
        compiler = _find_compiler()
        return _load(Kept(open_folder(), f"gather-excite-{_key(compiler)}"), compiler)
    except Unusable as problem:
        warnings.warn(
            f"Gather-Excite runs on PyTorch's operators: {problem}", RuntimeWarning, stacklevel=2
        )
        return None


def _find_compiler() -> list[str]:
    """The command of the compiler. Raises Unusable."""
    written = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not written:
        raise Unusable("there is no C++ compiler (set CXX to one with OpenMP)")
    try:
        words = shlex.split(written)
    except ValueError as error:
        raise Unusable(f"CXX={written}: {error}") from None
    if not words or shutil.which(words[0]) is None:
        raise Unusable(f"CXX={written}: this compiler cannot be found")
    return words


def _key(compiler: list[str]) -> str:
    """What the result depends on: the source, the flags, the compiler, and the CPU."""
    program = Path(shutil.which(compiler[0]) or compiler[0])
    facts = program.stat()
    parts = (SOURCE.read_text(encoding="utf-8"), FLAGS, compiler, facts.st_size, facts.st_mtime_ns)
    machine = f"{platform.machine()} {_cpu_flags()}"
    return hashlib.sha256(f"{parts} {machine}".encode()).hexdigest()[:16]


def _load(kept: Kept, compiler: list[str]) -> ctypes.CDLL:
    """The kept library, or a new one where there is none or it is damaged. Raises Unusable."""
    if (library := _open(kept)) is not None:
        return library
    with kept.locked(TIMEOUT_S):  # another process may compile it now
        if (library := _open(kept)) is not None:
            return library
        kept.complain_if_failed()
        try:
            with kept.new_file() as file:
                _compile(compiler, file)
                _try(file)
                problem = kept.keep(file)
        except (OSError, subprocess.SubprocessError) as error:
            raise kept.failed(
                f"{shlex.join(compiler)} cannot compile it: {_reason(error)}"
            ) from None
        library = _open(kept)
        if library is None:
            raise kept.failed(problem or "the compiled kernel cannot be loaded")
        return library


def _open(kept: Kept) -> ctypes.CDLL | None:
    """The kept library; None if there is none, or it is not the one that was kept."""
    if not kept.is_whole():
        return None
    with suppress(OSError):
        library = ctypes.CDLL(str(kept.library))
        if hasattr(library, SYMBOL):
            return library
        _ctypes.dlclose(library._handle)  # else its name would stand for it in this process
    return None


def _compile(compiler: list[str], file: Path) -> None:
    """Raises OSError or SubprocessError, also where the compiler does not end."""
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            [*compiler, *FLAGS, "-o", str(file), str(SOURCE)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=messages,
        )
        with suppress(OSError, AttributeError):  # the limit of a worker is not for its compiler
            most = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (most, most))
        try:
            status = process.wait(TIMEOUT_S)
        except BaseException:
            process.terminate()  # at this, g++ also ends the processes that it started
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()
            raise
        if status:
            messages.seek(0)
            raise subprocess.CalledProcessError(status, compiler, stderr=messages.read(10_000))


def _try(file: Path) -> None:
    """Raise SubprocessError if `file` cannot be loaded, or has no kernel."""
    subprocess.run(
        [sys.executable, "-I", "-c", TRY, str(file)],
        check=True,
        capture_output=True,
        timeout=TRY_TIMEOUT_S,
    )


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    """The last line that it printed, or what happened."""
    printed = getattr(error, "stderr", None) or b""
    lines = printed.decode(errors="replace").strip().splitlines()
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it did not end within {error.timeout:g} s"
    return lines[-1][:200] if lines else str(error)[:200]


def _cpu_flags() -> str:
    """The CPU's instruction sets, on which -march=native depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
