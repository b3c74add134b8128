"""Compares two revisions in the same processes, and takes what was compared before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from attn_bench.analysis.verdicts import Finding
from attn_bench.engine.progress import Progress
from attn_bench.jobs.check.answer import CheckRequest
from attn_bench.jobs.check.two_versions import check_versions
from attn_bench.model import machine
from attn_bench.model.environment import fingerprint_of
from attn_bench.model.errors import RequestError
from attn_bench.model.git import ask_git, find_commit, find_root
from attn_bench.model.metrics import LATENCY
from attn_bench.model.request import RunRequest
from attn_bench.model.status import Exit
from attn_bench.model.suite import Tolerance
from attn_bench.plan import suite_file
from attn_bench.store.info import RunInfo
from attn_bench.store.reading import read_record
from attn_bench.store.runs import RESULTS, list_newest_first


@dataclass(frozen=True)
class Pair:
    """Two revisions, and what became of each case from the old to the new one.

    path: the folder of the check.
    """

    old: str
    new: str
    findings: tuple[Finding, ...]
    path: Path | None


@dataclass(frozen=True)
class Limits:
    """How a pair is compared.

    tolerance: a change of latency beyond it is decided, as a fraction.
    timed: whether latency is measured.
    stored: the folders of runs in which a comparison may lie already.
    """

    tolerance: float
    timed: bool = True
    stored: tuple[Path, ...] = (Path(RESULTS),)


def list_span(old: str, new: str, option: str) -> list[str]:
    """The commits from `old` to `new`, along first parents. Raises RequestError.

    option: begins the message of an error.
    """
    root = find_root()
    if root is None:
        raise RequestError(f"{option}: this folder is in no git repository")
    first, last = (find_commit(root, name, option) for name in (old, new))
    commits = ask_git(root, "rev-list", "--first-parent", "--reverse", last, of=option).split()
    if first == last:
        raise RequestError(f"{option}: {old} and {new} are the same commit")
    if first not in commits:
        raise RequestError(f"{option}: {old} is not before {new}, along first parents")
    return commits[commits.index(first) :]


def measure_pair(
    request: RunRequest, commits: tuple[str, str], limits: Limits, progress: Progress
) -> Pair:
    """Compare two commits, or read the comparison that this machine has stored.

    commits: the old and the new one.
    Raises AttnBenchError if one of them cannot be measured.
    """
    old, new = commits
    for path, info in chain.from_iterable(map(list_newest_first, limits.stored)):
        if _is_the_same(info, request, commits, timed=limits.timed):
            assert info.check is not None
            return Pair(old, new, read_record(info.check.findings, tuple[Finding, ...]), path)
    rule = Tolerance(LATENCY, fail=limits.tolerance)
    question = CheckRequest(
        request, against=old, current=new, tolerances=(rule,), timed=limits.timed
    )
    answer = check_versions(question, progress)
    if answer.exit_status == Exit.INTERRUPTED:
        raise KeyboardInterrupt
    return Pair(old, new, answer.findings, answer.path)


def _is_the_same(
    info: RunInfo, request: RunRequest, commits: tuple[str, str], *, timed: bool
) -> bool:
    """Whether a stored check has compared these commits in this way, on this machine."""
    if info.check is None or info.request is None or info.state != "finished":
        return False
    seen, here = info.environment, machine.capture()
    return (
        (info.against, seen.git_commit) == commits
        and seen.git_dirty is False
        and _as_asked(info.request) == _as_asked(request)
        and info.suite == replace(suite_file.load(request.suite, None), timed=timed)
        and (seen.python, seen.software) == (here.python, machine.software())
        and seen.fingerprint == fingerprint_of(here, info.device, seen.device_facts)
    )


def _as_asked(request: RunRequest) -> RunRequest:
    """What a request asks for, without the words of its command."""
    return replace(request, command=(), out=None, wait=False)
