"""Compiles `ge_cpu.cpp` with the machine's own compiler, once, and keeps the result."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

SOURCE = Path(__file__).with_name("ge_cpu.cpp")
FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"),
    *("-fopenmp", "-fPIC", "-shared"),
)
TIMEOUT_S = 300


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """The kernel, compiled for this machine; None, with a warning, where it cannot be compiled."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        _warn("there is no C++ compiler (set CXX to one with OpenMP)")
        return None
    name = _file_name(compiler)
    try:
        return ctypes.CDLL(str(_build(compiler, name)))
    except (OSError, subprocess.SubprocessError) as error:
        _warn(f"{compiler} cannot compile the kernel: {type(error).__name__}")
        return None


def _warn(reason: str) -> None:
    warnings.warn(f"Gather-Excite runs on PyTorch's operators: {reason}", stacklevel=3)


def _file_name(compiler: str) -> str:
    """The name depends on the source, the flags, the compiler and the CPU."""
    machine = f"{platform.machine()} {_cpu_flags()}"
    key = hashlib.sha256(f"{SOURCE.read_text()} {FLAGS} {compiler} {machine}".encode())
    return f"gather-excite-{key.hexdigest()[:16]}.so"


def _build(compiler: str, name: str) -> Path:
    """The compiled file: compiled now, or by an earlier process."""
    target = _cache_folder() / name
    if target.exists():
        return target
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".so", delete=False) as aside:
        pass
    command = [*shlex.split(compiler), *FLAGS, "-o", aside.name, str(SOURCE)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
        Path(aside.name).replace(target)  # at once: another process may look for it now
    finally:
        Path(aside.name).unlink(missing_ok=True)
    return target


def _cache_folder() -> Path:
    """The folder of compiled kernels; a temporary one where the cache cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "attn-bench")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="attn-bench-"))
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="attn-bench-"))


def _cpu_flags() -> str:
    """The CPU's instruction sets, on which -march=native depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
