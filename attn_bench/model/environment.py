"""The machine and the software of a run, without loading torch; and warnings that advise.

Nothing here names the user, the host or a path: a run folder is made to be published.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from attn_bench.model.paths import PACKAGE

BUSY_CORES = 0.15  # of other work, while measuring, is worth a warning; so much is always going on
STOLEN_SHARE = 0.02
DRIFT = 0.1  # between the beginning of a session and the rest
GIT_TIMEOUT_S = 5
# What a figure depends on.
SOFTWARE = ("attn-bench", "torch", "torchvision", "timm", "fvcore", "triton", "numpy")
CPU_FOLDER = Path("/sys/devices/system/cpu")
# What a machine is, as opposed to how it is at the moment.
FINGERPRINTED = ("cpu", "cores_physical", "cores_logical", "cores_usable", "machine", "system")
FINGERPRINTED_GPU = ("gpu", "multiprocessors", "capability")


def capture() -> dict[str, Any]:
    """What the machine is and how it is set up."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "cpu": _cpu_model(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_usable": usable_cores(),
        "governor": _read(CPU_FOLDER / "cpu0/cpufreq/scaling_governor"),
        "memory_bytes": memory.total,
        "swap_used_bytes": swap.used,
        "system": platform.system(),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "virtual_machine": "hypervisor" in (_read(Path("/proc/cpuinfo")) or "").split(),
        "container": Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **_git(),
    }


def fingerprint(machine: Mapping[str, Any], device_facts: Mapping[str, Any]) -> str:
    """The same for the same machine, whatever its clocks, its load and its kernel's version are."""
    facts = [machine[key] for key in FINGERPRINTED]
    facts += [round(machine["memory_bytes"] / 2**30)]
    facts += [device_facts.get(key) for key in FINGERPRINTED_GPU]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def software() -> dict[str, str]:
    """The versions of what the figures depend on, by distribution; loads none of it."""
    found = {}
    for name in SOFTWARE:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def load_average() -> float | None:
    """Processes that wanted to run, on average over the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def may_have_gpu() -> bool:
    """Whether there is a driver for one; without it, there is none to be used."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))


def usable_cores() -> int:
    """The cores that this process may use; a container or `taskset` may leave fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


class Watch:
    """What else the machine did between `start` and `stop`: other work, stolen time, throttling."""

    def __init__(self) -> None:
        self.seen: dict[str, float | int | None] = {}
        self._before: dict[str, float] | None = None

    def start(self) -> None:
        self._before = self._now()

    def stop(self) -> None:
        """Call while the workers are alive: their own work is told from that of others."""
        if self._before is None:
            return
        now = self._now()
        passed = {name: now[name] - self._before[name] for name in now}
        wall_s = max(passed["wall_s"], 1e-9)
        self.seen = {
            "other_load_cores": min(
                max(0.0, (passed["busy_s"] - passed["own_s"]) / wall_s), psutil.cpu_count() or 1
            ),
            "stolen_share": passed["stolen_s"] / wall_s / (psutil.cpu_count() or 1),
            "throttle_events": int(passed["throttled"]),
            "swapped_in_bytes": int(passed["swapped_in"]),
        }

    def _now(self) -> dict[str, float]:
        times = psutil.cpu_times()
        own = psutil.Process()
        own_s = sum(own.cpu_times()[:4])  # of this process and of children that have ended
        for child in own.children(recursive=True):
            with suppress(psutil.Error):  # it ended while we looked
                own_s += sum(child.cpu_times()[:4])
        counters = CPU_FOLDER.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        stolen_s = getattr(times, "steal", 0.0)
        # Guests' time is part of user's on Linux.
        guests_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return {
            "wall_s": time.monotonic(),
            "busy_s": sum(times) - idle_s - stolen_s - guests_s,
            "own_s": own_s,
            "stolen_s": stolen_s,
            "throttled": sum(int(_read(counter) or 0) for counter in counters),
            "swapped_in": float(psutil.swap_memory().sin),
        }


def warnings(environment: Mapping[str, Any]) -> list[str]:
    """What may have disturbed the figures, each with what to do about it."""
    get = environment.get
    cores, threads, governor = get("cores_usable") or 1, get("threads") or 1, get("governor")
    gpu = get("device_facts") or {}
    found = []
    if (other := get("other_load_cores") or 0.0) > BUSY_CORES:
        found.append(
            f"other work used {other:.1f} of {cores} cores while measuring: ratios hold, and need "
            "more time to be precise; close it, or raise --budget"
        )
    if (stolen := get("stolen_share") or 0.0) > STOLEN_SHARE:
        found.append(
            f"the host took {100 * stolen:.0f} % of the time for other virtual machines: "
            "latencies are those of a shared host; trust the ratios"
        )
    if governor not in (None, "performance"):
        found.append(
            f"the CPU frequency governor is {governor!r}: clocks follow the load; "
            "`cpupower frequency-set -g performance` holds them"
        )
    if get("throttle_events"):
        found.append("the CPU was too hot and slowed down while measuring: cool it, and run again")
    if get("swapped_in_bytes"):
        found.append("memory was swapped in while measuring: free some, or measure smaller cases")
    elif get("swap_used_bytes"):
        found.append(
            "swap is in use: a case that is swapped out is measured slow; free some memory"
        )
    if (drift := get("warm_up_drift") or 0.0) > DRIFT:
        found.append(
            f"a session began {100 * drift:.0f} % slower than it went on: latencies hold something "
            "of its warming up; trust the ratios, or raise --budget"
        )
    if threads > cores:
        found.append(
            f"{threads} threads on {cores} usable cores wait for one another: --threads {cores}"
        )
    elif threads > (get("cores_physical") or threads):
        found.append(
            f"{threads} threads share {get('cores_physical')} cores two by two (hyper-threads): "
            f"--threads {get('cores_physical')} gives each a core of its own"
        )
    if get("throttled_blocks"):
        found.append(
            f"{get('throttled_blocks')} blocks ran while the GPU held its clocks down (heat or its "
            "power limit): cool it, or lock the clocks with `nvidia-smi --lock-gpu-clocks`"
        )
    if (limit := gpu.get("power_limit_w")) and limit < (gpu.get("power_limit_default_w") or 0):
        found.append(f"the GPU's power limit is lowered to {limit} W: `nvidia-smi --power-limit`")
    return found


def _cpu_model() -> str | None:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _git() -> dict[str, Any]:
    """The commit of the repository that the command runs in, which the measured code is from; else
    that of attn-bench's own checkout."""
    here = [Path.cwd(), *Path.cwd().parents, PACKAGE.parent]
    root = next((folder for folder in here if (folder / ".git").exists()), None)
    if root is None:
        return {"git_commit": None, "git_dirty": None}

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

    status = git("status", "--porcelain")
    return {
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
    }
