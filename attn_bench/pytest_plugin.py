"""pytest's side: `--attn-suite` makes every case a test, and a marker holds a test to a baseline.

Loaded by every pytest of the environment, so it imports nothing of the harness until it is asked.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("pytest_cases.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("attn-bench", "attn-bench")
    group.addoption("--attn-suite", metavar="NAME", help="make every case of this suite a test")
    group.addoption(
        "--attn-modules-from",
        metavar="FILE.py",
        action="append",
        default=[],
        help="modules of your own for it",
    )
    group.addoption("--attn-device", default="auto", choices=["cpu", "cuda", "auto"])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attn_case: a case of an attn-bench suite")
    config.addinivalue_line(
        "markers",
        "attn_baseline(run, modules=GLOB, where=EXPR, modules_from=FILES): fail where an exact "
        "metric has grown since that attn-bench run",
    )
    if config.getoption("--attn-suite"):
        config.args.append(str(CASES))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    for marker in item.iter_markers("attn_baseline"):
        _hold_to_baseline(item, *marker.args, **marker.kwargs)
    return (yield)


def _hold_to_baseline(
    item: pytest.Item,
    run: str,
    modules: str | None = None,
    where: str | None = None,
    modules_from: tuple[str, ...] = (),
) -> None:
    """`run` and `modules_from` are found from pytest's root folder."""
    from attn_bench import check, ci
    from attn_bench.errors import AttnBenchError

    root = item.config.rootpath
    try:
        answer = check.exact(
            root / run,
            modules=modules,
            where=where,
            modules_from=tuple(str(root / file) for file in modules_from),
        )
    except AttnBenchError as problem:
        pytest.fail(f"attn_baseline: {problem}", pytrace=False)
    if answer.exit_status:
        pytest.fail(
            f"attn_baseline {run}: {ci.summary_line(answer.findings)}\n"
            + "\n".join(ci.sentence(finding) for finding in ci.changed(answer.findings)),
            pytrace=False,
        )
