"""The disturbances of a run in words, with advice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attn_bench.model import units
from attn_bench.model.environment import Disturbance, Environment, is_overloaded

Advice = Callable[[Environment], str]


def _other_load(seen: Environment) -> str:
    load, cores = seen.other_load_cores or 0.0, seen.cores_usable or 1
    if is_overloaded(seen):
        what = "no time is valid for a quiet machine; close them, and measure again"
    else:
        what = "figures need more time to be precise; close them or raise --budget"
    return f"other processes used {load:.1f} of {cores} cores while measuring: {what}"


def _stolen_time(seen: Environment) -> str:
    return (
        f"the host took {100 * (seen.stolen_share or 0.0):.0f} % of the time for other virtual "
        "machines: latencies are those of a shared host; use the ratios"
    )


def _governor(seen: Environment) -> str:
    return (
        f"the CPU frequency governor is {seen.governor!r}: the clock changes with the load; "
        "`cpupower frequency-set -g performance` fixes it"
    )


def _drift(seen: Environment) -> str:
    return (
        f"a session was {100 * (seen.warm_up_drift or 0.0):.0f} % slower at its beginning: "
        "latencies include part of the warm-up; use the ratios or raise --budget"
    )


def _too_many_threads(seen: Environment) -> str:
    cores = seen.cores_usable or 1
    return f"{seen.threads} threads share {cores} usable cores: use --threads {cores}"


def _crowded(seen: Environment) -> str:
    cores = seen.cores_usable or 1
    free = max(0.0, cores - (seen.other_cores_at_start or 0.0))
    fewer = max(1, int(free + 0.5))
    use = f", or use --threads {fewer}" if fewer < (seen.threads or 1) else ""
    return (
        f"PyTorch has {units.number(seen.threads or 1, 'thread')}, and other programs leave "
        f"{free:.1f} of {cores} cores free: figures may be imprecise or missing; close other "
        f"programs{use}"
    )


def _no_huge_pages(seen: Environment) -> str:
    return (
        "the kernel gives no huge pages, so processes differ by where their memory lies: allow "
        "them with `echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`"
    )


def _hyper_threads(seen: Environment) -> str:
    cores = seen.cores_physical
    return (
        f"{seen.threads} threads share {cores} physical cores (hyper-threads): "
        f"--threads {cores} gives each its own core"
    )


def _gpu_throttled(seen: Environment) -> str:
    return (
        f"{seen.throttled_blocks} blocks ran while the GPU reduced its clocks (heat or power "
        "limit): cool it, or lock the clocks with `nvidia-smi --lock-gpu-clocks`"
    )


def _gpu_power_limit(seen: Environment) -> str:
    limit = seen.device_facts.get("power_limit_w")
    return (
        f"the GPU's power limit is reduced to {limit} W: raise it with `nvidia-smi --power-limit`"
    )


ADVICE: Mapping[Disturbance, Advice] = {
    "other_load": _other_load,
    "stolen_time": _stolen_time,
    "governor": _governor,
    "cpu_throttled": lambda seen: (
        "the CPU was too hot and reduced its clock while measuring: cool it and run again"
    ),
    "swapped_in": lambda seen: (
        "memory was swapped in while measuring: free some memory or measure smaller cases"
    ),
    "swap_in_use": lambda seen: (
        "swap is in use: a case that was swapped out is measured as slow; free some memory"
    ),
    "warm_up_drift": _drift,
    "too_many_threads": _too_many_threads,
    "crowded": _crowded,
    "no_huge_pages": _no_huge_pages,
    "hyper_threads": _hyper_threads,
    "gpu_throttled": _gpu_throttled,
    "gpu_power_limit": _gpu_power_limit,
    "gpu_clocks_unknown": lambda seen: (
        "whether the GPU reduced its clocks is unknown, because NVML gives no answer: install its "
        "Python binding with `pip install attn-bench[cuda]`"
    ),
    "changed_by_files": lambda seen: (
        f"when it was loaded, {'; '.join(seen.changed_by_files)}: a file of modules should not "
        "change the process that all modules share"
    ),
}


def advise(seen: Environment, found: tuple[Disturbance, ...]) -> list[str]:
    """A sentence for each disturbance."""
    return [ADVICE[name](seen) for name in found]
