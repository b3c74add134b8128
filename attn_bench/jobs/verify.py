"""The job of `verify`: choose variants, let a worker check each, collect the results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attn_bench.catalog.registry import Entry, Registry
from attn_bench.engine.process import WorkerLost
from attn_bench.engine.progress import Progress
from attn_bench.engine.session import OpenSession, modules_without_worker, open_session
from attn_bench.model import protocol
from attn_bench.model.axes import EXECUTION
from attn_bench.model.case import Extent, Scalar, Variant
from attn_bench.model.checks import CHECKS, Check, Checked, trace_causes
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.request import RunRequest
from attn_bench.model.status import Exit
from attn_bench.plan.cases import matches

# The extents that stand for a rule: the smallest, one more of each kind, and the global extent.
EXTENTS: Mapping[str, tuple[Extent, ...]] = {
    "any": (2, 3, 4, "global"),
    "power_of_two": (2, 4, 8, "global"),
}
NO_POWER_OF_TWO = 6
GATES: tuple[Check, ...] = (
    "builds",
    "forward",
)  # a variant that fails these has no result to check
SLOW: tuple[Check, ...] = ("compiles", "exports")
USUAL: tuple[Check, ...] = tuple(check for check in CHECKS if check != "refuses")


@dataclass(frozen=True)
class VerifyRequest:
    """The request of `verify`."""

    globs: str
    device: str
    modules_from: tuple[str, ...]
    timeout_s: float
    memory_gib: float


@dataclass(frozen=True)
class Subject:
    """One row of the matrix: a variant and its checks, in order."""

    variant: Variant
    checks: tuple[Check, ...] = USUAL


@dataclass(frozen=True)
class VerifiedVariant:
    """A variant and its results.

    checked: without the checks after a failed gate, a lost worker or Ctrl-C.
    """

    variant: Variant
    checked: Mapping[Check, Checked]


@dataclass(frozen=True)
class Verification:
    """The matrix, complete unless `state` is "interrupted"."""

    rows: tuple[VerifiedVariant, ...]
    device: str
    software: Mapping[str, str]
    state: str

    @property
    def exit_status(self) -> Exit:
        """1 if a check failed; 3 if a worker was lost during a check."""
        if self.state == "interrupted":
            return Exit.INTERRUPTED
        verdicts = {checked.verdict for row in self.rows for checked in row.checked.values()}
        if "failed" in verdicts:
            return Exit.BAD_ANSWER
        return Exit.NOT_MEASURED if "lost" in verdicts or not verdicts else Exit.GOOD


def verify(request: VerifyRequest, progress: Progress) -> Verification:
    """Apply every check to every variant that `request` names. Raises AttnBenchError."""
    known = modules_without_worker(request.modules_from)
    if known is not None:
        choose_subjects(known, request.globs)  # reports errors before a worker starts
    rows: list[VerifiedVariant] = []
    state = "finished"
    with open_session(_as_run(request), progress) as session:
        subjects = choose_subjects(session.modules, request.globs)
        progress.stage("verifying", len(subjects), "variants")
        workers = _Workers(session)
        try:
            for done, subject in enumerate(subjects):
                progress.step(done, subject.variant.label)
                checked: dict[Check, Checked] = {}
                rows.append(VerifiedVariant(subject.variant, checked))
                for check, result in _results(workers, subject, request.timeout_s):
                    checked[check] = result
                checked |= trace_causes(checked)
        except KeyboardInterrupt:
            state = "interrupted"
        session.signals.deafen()
    return Verification(tuple(rows), session.hello.device, dict(session.hello.software), state)


def _as_run(request: VerifyRequest) -> RunRequest:
    return RunRequest(
        suite="",
        device=request.device,
        modules_from=request.modules_from,
        threads=1,  # the maps are small: a second thread would mostly wait
        memory_gib=request.memory_gib,
    )


def choose_subjects(known: Registry, globs: str) -> list[Subject]:
    """The rows of the matrix. Raises RequestError if no module matches `globs`."""
    entries = [entry for entry in known if matches(entry.name, globs)]
    if not entries:
        hint = nearest(globs, [entry.name for entry in known])
        raise RequestError(
            f"verify {globs}: matches no module{hint}; a module of your own needs --modules-from"
        )
    return [subject for entry in entries for subject in subjects_of(entry)]


def subjects_of(entry: Entry) -> Iterator[Subject]:
    """The variants of one module: its extents, its probes, and those that it must refuse."""
    extents = (
        entry.extents if isinstance(entry.extents, tuple) else EXTENTS.get(entry.extents or "")
    )
    for extent in extents or (None,):
        yield Subject(Variant(entry.name, extent))
    for probe in entry.probes:
        yield Subject(_variant(entry, probe))
    refused: Iterable[Mapping[str, Scalar]] = entry.refuses
    if entry.extents == "power_of_two":
        refused = ({"extent": NO_POWER_OF_TWO}, *refused)
    for arguments in refused:
        yield Subject(_variant(entry, arguments), ("refuses",))


def _variant(entry: Entry, arguments: Mapping[str, Scalar]) -> Variant:
    rest = dict(arguments)
    extent: Any = rest.pop("extent", None)
    return Variant(entry.name, extent, tuple(rest.items()))


def _results(
    workers: _Workers, subject: Subject, timeout_s: float
) -> Iterator[tuple[Check, Checked]]:
    """Each check with its result, up to the first failed gate."""
    for check in subject.checks:
        patience = EXECUTION["compile"].patience if check in SLOW else 1.0
        result = workers.ask(protocol.Verify(subject.variant, check), patience * timeout_s)
        yield check, result
        if result.verdict == "lost" or (result.verdict == "failed" and check in GATES):
            return


class _Workers:
    """One worker at a time; the next check replaces a lost worker."""

    def __init__(self, session: OpenSession) -> None:
        self._session = session
        self._is_lost = False

    def ask(self, request: protocol.Verify, timeout_s: float) -> Checked:
        if self._is_lost:
            self._session.renew()
            self._is_lost = False
        try:
            reply = self._session.worker.ask(request, timeout_s)
        except WorkerLost as lost:
            self._is_lost = True
            return Checked("lost", str(lost))
        assert isinstance(reply, protocol.Verified), reply
        return reply.checked
