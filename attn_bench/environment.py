"""The machine and the software of a run, without loading torch; and warnings that advise.

Nothing here names the user, the host or a path: a run folder is made to be published.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

BUSY_LOAD_PER_CORE = 0.25
GIT_TIMEOUT_S = 5


def capture() -> dict[str, Any]:
    """What does not change while a run lasts."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "cpu": _cpu_model(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_usable": usable_cores(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_bytes": memory.total,
        "swap_used_bytes": swap.used,
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "virtual_machine": "hypervisor" in (_read("/proc/cpuinfo") or "").split(),
        "container": Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **_git(),
    }


def load_average() -> float | None:
    """Processes that wanted to run, on average over the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def usable_cores() -> int:
    """The cores that this process may use; a container or `taskset` may leave fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


def warnings(environment: Mapping[str, Any], threads: int, load: float | None) -> list[str]:
    """What may disturb the figures, each with what to do about it."""
    found = []
    cores = environment["cores_usable"]
    if load is not None and load > BUSY_LOAD_PER_CORE * cores:
        found.append(
            f"other work is running (load {load:.1f} on {cores} cores): ratios hold, latencies are "
            "those of a busy machine; close it for quieter figures"
        )
    governor = environment.get("governor")
    if governor not in (None, "performance"):
        found.append(
            f"the CPU frequency governor is {governor!r}: clocks follow the load; "
            "`cpupower frequency-set -g performance` holds them"
        )
    if environment["swap_used_bytes"]:
        found.append(
            "swap is in use: a case that is swapped out is measured slow; free some memory"
        )
    if threads > cores:
        found.append(
            f"{threads} threads on {cores} usable cores wait for one another: --threads {cores}"
        )
    if environment["virtual_machine"]:
        found.append(
            "this is a virtual machine: latencies shift from hour to hour with its neighbours; "
            "compare ratios within a run, not latencies between runs"
        )
    return found


def _cpu_model() -> str | None:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _git() -> dict[str, Any]:
    """The commit of attn-bench's own checkout, where it runs from one."""
    root = Path(__file__).resolve().parent.parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *words],
                capture_output=True,
                text=True,
                timeout=GIT_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if not (root / ".git").exists():
        return {"git_commit": None, "git_dirty": None}
    status = git("status", "--porcelain")
    return {
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
    }
