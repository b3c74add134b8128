"""What an engine is: it starts one `work` on a host at a time, and tells how each of them goes."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

# waiting: for a host. ended: by itself. lost: killed, or its host is gone, or no host came.
WorkState = Literal["waiting", "running", "ended", "lost"]


@dataclass(frozen=True)
class Work:
    """A `work` that an engine started.

    kind: the word of --devices that it was started for; "" for any host.
    host: its name; "" until it is known.
    status: its exit status; None unless it has ended.
    last_line: what it printed last, or why it is lost.
    """

    kind: str
    host: str
    state: WorkState
    status: int | None = None
    last_line: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in ("ended", "lost")


def see_process(kind: str, host: str, status: int | None, last_line: str) -> Work:
    """A `work` whose process has this status: None while it runs, negative if a signal ended it."""
    if status is not None and status < 0:
        return Work(kind, host, "lost", None, f"a signal ended it: {signal.strsignal(-status)}")
    return Work(kind, host, "running" if status is None else "ended", status, last_line)


class Engine(Protocol):
    def count_hosts(self, kind: str) -> int | None:
        """How many hosts of this kind can be measured, all of them if it is ""; None: unknown.

        Raises RequestError, with what the user must offer, if there is none.
        """

    def start(self, kind: str, words: Sequence[str]) -> None:
        """Start `attn-bench WORDS` on a host of this kind that measures nothing else."""

    def poll(self) -> tuple[Work, ...]:
        """Every `work`, in the order of their starts. Returns within a few seconds."""

    def give_up(self, number: int, why: str) -> None:
        """Kill the `work` with this place in the order; it is lost from now on."""

    def stop(self) -> None:
        """Interrupt what runs, so that claims are released. Leaves nothing of the engine behind."""
