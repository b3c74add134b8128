"""Watches what else the machine does during a run: other work, stolen time, throttling."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from attn_bench.model.machine import CPU_FOLDER, read_text


@dataclass(frozen=True)
class Seen:
    """What happened between `start` and `stop`; None if the watch never started."""

    other_load_cores: float | None = None
    stolen_share: float | None = None
    throttle_events: int | None = None
    swapped_in_bytes: int | None = None


class Watch:
    """Watches the machine between `start` and `stop`."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._before: dict[str, float] | None = None

    def start(self) -> None:
        """Begin to watch; a watch over several parts of a run begins with the first."""
        self._before = self._before or self._now()

    def stop(self) -> None:
        """Stop watching. Call it while the workers live, since their work must be subtracted."""
        if self._before is None:
            return
        now = self._now()
        passed = {name: now[name] - self._before[name] for name in now}
        wall_s, cores = max(passed["wall_s"], 1e-9), psutil.cpu_count() or 1
        other = max(0.0, (passed["busy_s"] - passed["own_s"]) / wall_s)
        self.seen = Seen(
            other_load_cores=min(other, cores),
            stolen_share=passed["stolen_s"] / wall_s / cores,
            throttle_events=int(passed["throttled"]),
            swapped_in_bytes=int(passed["swapped_in"]),
        )

    def _now(self) -> dict[str, float]:
        times = psutil.cpu_times()
        own = psutil.Process()
        own_s = sum(own.cpu_times()[:4])  # of this process and of its ended children
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
            "throttled": sum(int(read_text(counter) or 0) for counter in counters),
            "swapped_in": float(psutil.swap_memory().sin),
        }
