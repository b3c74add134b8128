"""Reads the facts of the machine, without loading torch.

Nothing here names the user, the host or a path.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil

from attn_bench.model.axes import AUTO, DEVICE, EXECUTION, DeviceName, split_device
from attn_bench.model.environment import Machine
from attn_bench.model.git import run_git
from attn_bench.model.paths import PACKAGE

GIT_TIMEOUT_S = 5
# The distributions that a figure depends on.
SOFTWARE = ("attn-bench", "torch", "torchvision", "timm", "fvcore", "triton", "numpy")
CPU_FOLDER = Path("/sys/devices/system/cpu")
HUGE_PAGES_FILE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def capture() -> Machine:
    """The facts and the settings of this machine."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    commit, is_dirty = _git_state()
    return Machine(
        cpu=_cpu_model(),
        cores_physical=psutil.cpu_count(logical=False),
        cores_logical=psutil.cpu_count(),
        cores_usable=usable_cores(),
        governor=read_text(CPU_FOLDER / "cpu0/cpufreq/scaling_governor"),
        memory_bytes=memory.total,
        swap_used_bytes=swap.used,
        system=platform.system(),
        os=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        huge_pages=_huge_pages(),
        virtual_machine="hypervisor" in (read_text(Path("/proc/cpuinfo")) or "").split(),
        container=Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        git_commit=commit,
        git_dirty=is_dirty,
    )


def software() -> dict[str, str]:
    """The version of each distribution that the figures depend on; loads none of them."""
    found = {}
    for name in (*SOFTWARE, *chain.from_iterable(facts.needs for facts in EXECUTION.values())):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def memory_bytes() -> int:
    return int(psutil.virtual_memory().total)


def free_memory_bytes() -> int:
    """The memory that new processes can have without swapping."""
    return int(psutil.virtual_memory().available)


def load_average() -> float | None:
    """The load average: the mean number of runnable processes over the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def possible_devices(name: str) -> tuple[DeviceName, ...]:
    """The devices that `--device NAME` may open here, as far as can be known without torch."""
    name, _ = split_device(name)
    if name != AUTO:
        return tuple(known for known in DEVICE if known == name)
    return tuple(
        name
        for name, facts in DEVICE.items()
        if not facts.drivers or any(Path(driver).exists() for driver in facts.drivers)
    )


def usable_cores() -> int:
    """The number of cores that this process may use; a container or `taskset` may limit it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


def _huge_pages() -> str | None:
    """The word in brackets: `always [madvise] never`. None if the kernel has no huge pages."""
    words = (read_text(HUGE_PAGES_FILE) or "").split()
    return next((word.strip("[]") for word in words if word.startswith("[")), None)


def _cpu_model() -> str | None:
    for line in (read_text(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _git_state() -> tuple[str | None, bool | None]:
    """The commit of the repository around the current folder, and whether it has changes.

    The measured code is usually from there. Outside a repository, it is attn-bench's own checkout.
    """
    here = [Path.cwd(), *Path.cwd().parents, PACKAGE.parent]
    root = next((folder for folder in here if (folder / ".git").exists()), None)
    if root is None:
        return None, None

    def ask(*words: str) -> str | None:
        try:
            done = run_git(root, *words, timeout_s=GIT_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError):
            return None
        return None if done.returncode else done.stdout.strip()

    status = ask("status", "--porcelain")
    return ask("rev-parse", "HEAD"), None if status is None else bool(status)
