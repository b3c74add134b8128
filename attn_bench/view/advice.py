"""What disturbed a run, each with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attn_bench.model.environment import Disturbance, Environment

Advice = Callable[[Environment], str]


def _other_load(seen: Environment) -> str:
    return (
        f"other processes used {seen.other_load_cores or 0.0:.1f} of {seen.cores_usable or 1} "
        "cores while measuring: ratios hold, and need more time to be precise; close them, or "
        "raise --budget"
    )


def _stolen_time(seen: Environment) -> str:
    return (
        f"the host took {100 * (seen.stolen_share or 0.0):.0f} % of the time for other virtual "
        "machines: latencies are those of a shared host; trust the ratios"
    )


def _governor(seen: Environment) -> str:
    return (
        f"the CPU frequency governor is {seen.governor!r}: clocks follow the load; "
        "`cpupower frequency-set -g performance` holds them"
    )


def _drift(seen: Environment) -> str:
    return (
        f"a session began {100 * (seen.warm_up_drift or 0.0):.0f} % slower than it went on: "
        "latencies include part of the warm-up; trust the ratios, or raise --budget"
    )


def _too_many_threads(seen: Environment) -> str:
    cores = seen.cores_usable or 1
    return f"{seen.threads} threads on {cores} usable cores wait for one another: --threads {cores}"


def _hyper_threads(seen: Environment) -> str:
    cores = seen.cores_physical
    return (
        f"{seen.threads} threads share {cores} cores two by two (hyper-threads): "
        f"--threads {cores} gives each a core of its own"
    )


def _gpu_throttled(seen: Environment) -> str:
    return (
        f"{seen.throttled_blocks} blocks ran while the GPU held its clocks down (heat or its "
        "power limit): cool it, or lock the clocks with `nvidia-smi --lock-gpu-clocks`"
    )


def _gpu_power_limit(seen: Environment) -> str:
    limit = seen.device_facts.get("power_limit_w")
    return f"the GPU's power limit is lowered to {limit} W: `nvidia-smi --power-limit`"


ADVICE: Mapping[Disturbance, Advice] = {
    "other_load": _other_load,
    "stolen_time": _stolen_time,
    "governor": _governor,
    "cpu_throttled": lambda seen: (
        "the CPU was too hot and slowed down while measuring: cool it, and run again"
    ),
    "swapped_in": lambda seen: (
        "memory was swapped in while measuring: free some, or measure smaller cases"
    ),
    "swap_in_use": lambda seen: (
        "swap is in use: a case that is swapped out is measured slow; free some memory"
    ),
    "warm_up_drift": _drift,
    "too_many_threads": _too_many_threads,
    "hyper_threads": _hyper_threads,
    "gpu_throttled": _gpu_throttled,
    "gpu_power_limit": _gpu_power_limit,
}


def advise(seen: Environment, found: tuple[Disturbance, ...]) -> list[str]:
    """A sentence for each of what was `found`."""
    return [ADVICE[name](seen) for name in found]
