"""The machine is described without naming anybody, and what disturbs a run is told with advice."""

from __future__ import annotations

import getpass
import json
import platform
from dataclasses import asdict, replace
from typing import Any

import pytest
from program import ROOT

from attn_bench.model.environment import (
    FINGERPRINTED,
    Environment,
    Machine,
    find_disturbances,
    fingerprint_of,
    is_overloaded,
)
from attn_bench.model.machine import capture
from attn_bench.view.advice import advise

QUIET = Environment(
    device="cpu", cores_usable=4, cores_physical=4, threads=4, governor="performance"
)


def told(**found: Any) -> list[str]:
    """What is said of a quiet machine where that was found."""
    seen = replace(QUIET, **found)
    return advise(seen, find_disturbances(seen))


def test_fingerprint_is_of_the_machine_and_not_of_the_moment() -> None:
    """Another governor, load, kernel or swap is the same machine; another core count is not."""
    machine = capture()
    gpu = {"gpu": "X", "sm_clock_mhz": 1000}
    same = replace(machine, governor="other", os="Linux 99", swap_used_bytes=5)
    assert fingerprint_of(machine, "cuda", gpu) == fingerprint_of(
        same, "cuda", {"gpu": "X", "sm_clock_mhz": 2000}
    )
    other = replace(machine, cores_usable=99)
    assert fingerprint_of(machine, "cuda", gpu) != fingerprint_of(other, "cuda", gpu)


def test_a_fingerprint_outlives_versions_of_this_program() -> None:
    """The fingerprint of a machine equals the one that earlier versions stored."""
    described: Any = {key: key for key in FINGERPRINTED}
    machine = Machine(**described, memory_bytes=2**33)
    gpu = {"gpu": "X", "multiprocessors": 8, "capability": "9.0"}
    assert fingerprint_of(machine, "cpu", {"capability": "AVX2"}) == "f7971d232cda"
    assert fingerprint_of(machine, "cuda", gpu) == "2b1c0ab6eadd"


@pytest.mark.parametrize(
    ("busy", "threads", "is_told"),
    [(0.1, 4, False), (0.6, 4, True), (2.0, 2, False), (4.0, 1, True)],
)
def test_more_threads_than_free_cores_are_told_first(
    busy: float, threads: int, is_told: bool
) -> None:
    """Of 4 cores, other work takes some; the advice names a number of threads that fits."""
    words = told(other_cores_at_start=busy, threads=threads)
    assert bool([word for word in words if "cores free" in word]) == is_told
    if is_told and threads > 1:
        assert "--threads 3" in words[0]


@pytest.mark.parametrize(
    ("other", "threads", "expected"), [(0.5, 4, False), (2.5, 4, True), (2.5, 1, False)]
)
def test_a_machine_with_much_other_work_gives_no_times(
    other: float, threads: int, expected: bool
) -> None:
    """Of 4 cores: other work leaves room for the threads, or takes too much."""
    assert is_overloaded(replace(QUIET, other_load_cores=other, threads=threads)) == expected


def test_a_kernel_without_huge_pages_is_told() -> None:
    """Where huge pages are asked for and the kernel gives none, the run says so."""
    assert told(pages="huge", huge_pages="never")
    assert not told(pages="huge", huge_pages="madvise")
    assert not told(pages="default", huge_pages="never")


def test_nothing_names_the_user_or_the_host() -> None:
    """What is captured can be published."""
    captured = json.dumps(asdict(capture()))
    for private in (platform.node(), str(ROOT)):
        assert private not in captured
    assert getpass.getuser() not in json.loads(captured).values()


def test_a_quiet_machine_has_no_warnings() -> None:
    """Nothing is said where nothing is wrong."""
    assert told(other_load_cores=0.05, stolen_share=0.0) == []


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        ({"other_load_cores": 1.0}, "other processes used 1.0 of 4 cores while measuring"),
        ({"stolen_share": 0.1}, "the host took 10 % of the time"),
        ({"governor": "powersave"}, "cpupower frequency-set -g performance"),
        ({"throttle_events": 2}, "too hot"),
        ({"swapped_in_bytes": 4096}, "memory was swapped in"),
        ({"swap_used_bytes": 4096}, "swap is in use"),
        ({"threads": 8}, "--threads 4"),
        ({"cores_usable": 8, "threads": 8}, "hyper-threads"),
        ({"warm_up_drift": 0.25}, "a session was 25 % slower at its beginning"),
        ({"throttled_blocks": 3}, "nvidia-smi --lock-gpu-clocks"),
        (
            {"device_facts": {"power_limit_w": 200, "power_limit_default_w": 350}},
            "power limit is reduced to 200 W",
        ),
        ({"device_facts": {"gpu": "X"}}, "pip install attn-bench[cuda]"),
    ],
)
def test_each_disturbance_has_its_advice(found: dict[str, object], advice: str) -> None:
    """One warning for one thing, which says what to do."""
    (words,) = told(**found)
    assert advice in words


def test_throttling_that_was_watched_has_no_warning() -> None:
    """A GPU whose clocks were read, and never reduced, is not worth a word."""
    assert told(device_facts={"gpu": "X"}, throttled_blocks=0) == []
