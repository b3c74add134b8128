"""The state of this process that a module may change for all others. It is put back.

A worker compares it after each request. The next request then finds it as the first one did.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from attn_bench.model.errors import in_one_line
from attn_bench.worker.flags import Entry, torch_entries
from attn_bench.worker.intruders import TASKS, Intruders, Stage
from attn_bench.worker.names import Names

LIMITS = ("DATA", "AS", "NOFILE", "NPROC", "FSIZE", "STACK", "CPU")
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
NEVER_HANDLED = {signal.SIGKILL, signal.SIGSTOP}
# The variables that PyTorch's compiler sets when it is imported.
COMPILERS_VARIABLES = (b"TORCHINDUCTOR_", b"TRITON_", b"TORCH_", b"PYTORCH_")


@dataclass(frozen=True, slots=True)
class Change:
    """What a request changed.

    notes: what was put back. trouble: what cannot be put back, so that the process is spoiled.
    """

    notes: tuple[str, ...] = ()
    trouble: str | None = None


class State:
    """The state as it was when this was made, or at the last `accept`."""

    def __init__(self, intruders: Intruders | None = None) -> None:
        """intruders: watches threads, children and files; None where these are not the worker's."""
        _start_pools()
        self._intruders = intruders
        self._entries = [*torch_entries(), *process_entries()]
        self._names = Names()
        self._before: list[Any] = []
        self.accept()

    def accept(self) -> None:
        """Take the present state as the one to put back."""
        self._before = [_read(entry) for entry in self._entries]
        self._names.accept()
        if self._intruders is not None:
            self._intruders.accept()

    def put_back(self, stage: Stage = "call") -> Change:
        """Compare the state with the one before, and put back what has changed.

        stage: what was done; a compiler may keep threads and processes.
        """
        notes: list[str] = []
        stuck: list[str] = []
        for entry, before in zip(self._entries, self._before, strict=True):
            now = _read(entry)
            if now != before and not (entry.of_compilers and stage == "compile"):
                told = _tell(entry, before, now)
                (notes if _is_put_back(entry, before) else stuck).append(told)
        # After settings that replace names:
        for told, is_put_back in self._names.put_back(compiles=stage == "compile"):
            (notes if is_put_back else stuck).append(told)
        if stage == "compile":
            self._keep_compilers()
        trouble = [f"{told}, which cannot be put back" for told in stuck]
        if self._intruders is not None:
            trouble += self._intruders.find(stage)
        return Change(tuple(f"{told}; put back" for told in notes), "; ".join(trouble) or None)

    def _keep_compilers(self) -> None:
        """Take the present values of what a compiler changes."""
        self._before = [
            _read(entry) if entry.of_compilers else before
            for entry, before in zip(self._entries, self._before, strict=True)
        ]


def _read(entry: Entry) -> Any:
    try:
        return entry.read()
    except (RuntimeError, OSError) as error:  # as torch for contradicting settings
        return in_one_line(error)


def _tell(entry: Entry, before: Any, now: Any) -> str:
    return f"changed {entry.name}" + (f" from {before} to {now}" if entry.is_short else "")


def _is_put_back(entry: Entry, before: Any) -> bool:
    if entry.put_back is None:
        return False
    with suppress(Exception):  # if it failed, the value shows it
        entry.put_back(before)
    return bool(_read(entry) == before)


def _start_pools() -> None:
    """Start OpenMP's threads, which also binds this thread to its core; autograd's, by a call."""
    x = torch.ones(2**20, requires_grad=True)
    (x * 2).sum().backward()


# --- the process ----------------------------------------------------------------------------------


def process_entries() -> list[Entry]:
    """A row for each part of the state of Python and of the process."""
    entries = [
        Entry("the garbage collector", _collector, _set_collector),
        Entry("the callbacks of the garbage collector", lambda: [*gc.callbacks], _set_callbacks),
        Entry("the trace function", sys.gettrace, sys.settrace, is_short=False),
        Entry("the profile function", sys.getprofile, sys.setprofile, is_short=False),
        Entry(
            "the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, of_compilers=True
        ),
        Entry("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
        Entry("which warnings are errors", _errors, _set_errors, is_short=False),
        Entry("the current folder", os.getcwd, os.chdir, is_short=False),
        Entry(
            "the environment variables",
            _variables,
            _set_variables,
            is_short=False,
            of_compilers=True,
        ),
        Entry("the signal handlers", _handlers, _set_handlers, is_short=False),
        Entry("the interval timers", _timers, _set_timers, is_short=False),
        Entry("the limits of resources", _limits, _set_limits, is_short=False),
        Entry("the priority", partial(os.getpriority, os.PRIO_PROCESS, 0), _set_priority),
    ]
    if sys.platform == "linux":
        cores = _Cores()
        entries.append(
            Entry("the cores that its threads may use", cores.read, cores.put_back, is_short=False)
        )
    return entries


class _Cores:
    """The cores that each of the present threads may use. A thread that has ended keeps its own."""

    def __init__(self) -> None:
        self._of = {
            int(task.name): os.sched_getaffinity(int(task.name)) for task in TASKS.iterdir()
        }

    def read(self) -> dict[int, set[int]]:
        found = dict(self._of)
        for task in found:
            with suppress(OSError):
                found[task] = os.sched_getaffinity(task)
        return found

    def put_back(self, value: dict[int, set[int]]) -> None:
        for task, cores in value.items():
            with suppress(OSError):
                os.sched_setaffinity(task, cores)


def _collector() -> tuple[bool, tuple[int, int, int]]:
    return gc.isenabled(), gc.get_threshold()


def _set_collector(value: tuple[bool, tuple[int, int, int]]) -> None:
    is_enabled, threshold = value
    (gc.enable if is_enabled else gc.disable)()
    gc.set_threshold(*threshold)


def _set_callbacks(value: list[Callable[..., Any]]) -> None:
    gc.callbacks[:] = value


def _errors() -> list[Any]:
    return [item for item in warnings.filters if item[0] == "error"]


def _set_errors(value: list[Any]) -> None:
    kept = [item for item in warnings.filters if item[0] != "error" or item in value]
    warnings.resetwarnings()  # also forgets what was decided about earlier warnings
    warnings.filters[:] = kept  # type: ignore[index]


def _variables() -> dict[bytes, bytes]:
    raw: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # `dict` decodes all
    return {k: v for k, v in raw.items() if not k.startswith(COMPILERS_VARIABLES)}


def _set_variables(value: dict[bytes, bytes]) -> None:
    for name in _variables().keys() - value.keys():
        del os.environb[name]
    os.environb.update(value)


_get_handler = sys.modules["_signal"].getsignal  # `signal` makes an enumeration of each
_SIGNALS = [int(number) for number in sorted(signal.valid_signals()) if number not in NEVER_HANDLED]


def _handlers() -> list[Any]:
    return [_get_handler(number) for number in _SIGNALS]


def _set_handlers(value: Iterable[Any]) -> None:
    for number, handler in zip(_SIGNALS, value, strict=True):
        if handler is not None and _get_handler(number) != handler:
            signal.signal(number, handler)


def _timers() -> list[bool]:
    return [any(signal.getitimer(timer)) for timer in TIMERS]


def _set_timers(value: list[bool]) -> None:
    for timer, runs in zip(TIMERS, value, strict=True):
        if not runs:
            signal.setitimer(timer, 0)


_LIMITS = [number for name in LIMITS if (number := getattr(resource, f"RLIMIT_{name}", None))]


def _limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(number) for number in _LIMITS]


def _set_limits(value: list[tuple[int, int]]) -> None:
    for number, limits in zip(_LIMITS, value, strict=True):
        resource.setrlimit(number, limits)


def _set_priority(value: int) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, value)
