"""The cases of `--attn-suite` as tests, timed by pytest-benchmark in pytest's own process.

All cases run in one process, one after the other. docs/ci.md explains the limits of this method;
use `check` as a gate.
"""

from __future__ import annotations

from typing import Any

import pytest

from attn_bench.catalog import loading
from attn_bench.model.case import Case
from attn_bench.model.errors import AttnBenchError
from attn_bench.model.metrics import EXACT
from attn_bench.plan import suite_file
from attn_bench.plan.cases import make_plan
from attn_bench.worker.attempt import CaseFailed
from attn_bench.worker.bench import Bench
from attn_bench.worker.devices.base import open_device

_BENCH = pytest.StashKey[Bench]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each case of the suite; an unsupported case is skipped with its reason."""
    config = metafunc.config
    try:
        device = open_device(config.getoption("--attn-device"))
        bench = Bench(device, loading.load_all(config.getoption("--attn-modules-from")))
        plan = make_plan(
            suite_file.load(config.getoption("--attn-suite"), bench.modules), device.name
        )
    except AttnBenchError as problem:
        pytest.exit(f"--attn-suite: {problem}", returncode=4)
    config.stash[_BENCH] = bench
    metafunc.parametrize(
        "attn_case",
        [
            pytest.param(
                case,
                id=case.id,
                marks=[pytest.mark.skip(reason=plan.unsupported[case.id])]
                if case.id in plan.unsupported
                else [],
            )
            for case in plan.cases
        ],
    )


@pytest.mark.attn_case
def test_case(attn_case: Case, benchmark: Any, request: pytest.FixtureRequest) -> None:
    """The case behaves as required; pytest-benchmark times it, `extra_info` has exact metrics."""
    bench = request.config.stash[_BENCH]
    try:
        facts = bench.inspect(attn_case)
        built = bench.build(attn_case)
    except CaseFailed as failed:
        if failed.status == "unsupported":
            pytest.skip(str(failed))
        pytest.fail(f"{failed.status}: {failed}", pytrace=False)
    benchmark.extra_info.update({metric: getattr(facts, metric) for metric in EXACT})

    def call() -> None:
        built.call()
        bench.device.drain()

    with built.mode():
        benchmark(call)
