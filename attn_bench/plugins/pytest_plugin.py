"""The pytest plugin: `--attn-suite` makes each case a test, a marker checks a baseline.

Every pytest of the environment loads it. Until it is used, it imports only the names of the
devices.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("pytest_cases.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    from attn_bench.model.axes import AUTO, DEVICE_CHOICES  # only values: fast to import

    group = parser.getgroup("attn-bench", "attn-bench")
    group.addoption("--attn-suite", metavar="NAME", help="make every case of this suite a test")
    group.addoption(
        "--attn-modules-from",
        metavar="FILE.py",
        action="append",
        default=[],
        help="a file with your own modules for --attn-suite",
    )
    group.addoption(
        "--attn-device", default=AUTO, metavar="DEVICE", help=f"one of {', '.join(DEVICE_CHOICES)}"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attn_case: a case of an attn-bench suite")
    config.addinivalue_line(
        "markers",
        "attn_baseline(run, modules=GLOB, where=EXPR, modules_from=FILES): fail if an exact "
        "metric has grown since that attn-bench run",
    )
    suite = config.getoption("--attn-suite")
    if suite is not None:
        _complain_early(suite, config.getoption("--attn-modules-from"))
        config.args.append(str(CASES))


def _complain_early(suite: str, files: list[str]) -> None:
    """Raise UsageError for a wrong option before pytest collects tests."""
    from attn_bench.engine.session import modules_without_worker
    from attn_bench.model.errors import AttnBenchError
    from attn_bench.plan import suite_file

    for file in files:
        if not Path(file).is_file():
            raise pytest.UsageError(f"--attn-modules-from {file}: file not found")
    known = modules_without_worker(files)
    if known is None:
        return  # only loading the files tells which modules they register
    try:
        suite_file.load(suite, known)
    except AttnBenchError as problem:
        raise pytest.UsageError(f"--attn-suite: {problem}") from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    for marker in item.iter_markers("attn_baseline"):
        try:
            call = inspect.signature(_hold_to_baseline).bind(item, *marker.args, **marker.kwargs)
        except TypeError as error:
            pytest.fail(f"attn_baseline: {error}", pytrace=False)
        _hold_to_baseline(*call.args, **call.kwargs)
    return (yield)


def _hold_to_baseline(
    item: pytest.Item,
    run: str,
    modules: str | None = None,
    where: str | None = None,
    modules_from: str | tuple[str, ...] = (),
) -> None:
    """Fail if an exact metric has grown; paths are relative to pytest's root folder."""
    from attn_bench.jobs.check import check
    from attn_bench.model.errors import AttnBenchError
    from attn_bench.model.status import Exit
    from attn_bench.view import findings

    root = item.config.rootpath
    words = [modules_from] if isinstance(modules_from, str) else modules_from
    words = [str(root / word) if (root / word).exists() else word for word in words]
    complaint = None
    try:
        answer = check.exact(
            root / str(run),
            root,
            modules=modules,
            where=where,
            modules_from=tuple(words),
        )
    except AttnBenchError as problem:
        complaint = str(problem)
    if complaint is not None:
        pytest.fail(f"attn_baseline: {complaint}", pytrace=False)
    if answer.exit_status == Exit.INTERRUPTED:
        raise KeyboardInterrupt
    if answer.exit_status:
        pytest.fail(
            f"attn_baseline {run}: {findings.summarise(answer.findings)}\n"
            + "\n".join(map(findings.describe, findings.find_notable(answer.findings))),
            pytrace=False,
        )
