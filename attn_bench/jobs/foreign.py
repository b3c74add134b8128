"""The job of `verify FILE.py:CLASS --as NAME`: a foreign class against a paper's formula."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attn_bench.catalog.registry import Registry
from attn_bench.catalog.source import find_source
from attn_bench.engine.process import WorkerLost
from attn_bench.engine.progress import Progress
from attn_bench.engine.session import modules_without_worker, open_session
from attn_bench.model import protocol
from attn_bench.model.case import Variant
from attn_bench.model.errors import RequestError, nearest
from attn_bench.model.foreign import Compared
from attn_bench.model.request import RunRequest
from attn_bench.model.status import Exit

TIMM = "timm/"
STATUS = {
    "agrees": Exit.GOOD,
    "differs": Exit.BAD_ANSWER,
    "not_built": Exit.NOT_MEASURED,
    "not_mapped": Exit.NOT_MEASURED,
}


@dataclass(frozen=True)
class ForeignRequest:
    """The request of `verify --as`. word: FILE.py:CLASS; model, arguments, pairs: as typed."""

    word: str
    model: str
    arguments: str
    pairs: str
    device: str
    modules_from: tuple[str, ...]
    timeout_s: float
    memory_gib: float


@dataclass(frozen=True)
class ForeignAnswer:
    """The verdict, and what was compared with what."""

    word: str
    variant: Variant
    paper: str | None
    compared: Compared

    @property
    def exit_status(self) -> Exit:
        return STATUS[self.compared.verdict]


def compare_foreign(request: ForeignRequest, progress: Progress) -> ForeignAnswer:
    """Compare the class with the formula. Raises AttnBenchError."""
    asked = _check(request)
    known = modules_without_worker(request.modules_from)
    if known is not None:
        _choose(known, asked.variant)  # reports errors before a worker starts
    run = RunRequest(
        suite="",
        device=request.device,
        modules_from=request.modules_from,
        threads=1,
        memory_gib=request.memory_gib,
    )
    with open_session(run, progress) as session:
        variant, paper = _choose(session.modules, asked.variant)
        progress.stage("comparing", 1, "modules")
        asked = protocol.Compare(asked.word, variant, asked.arguments, asked.pairs)
        try:
            reply = session.worker.ask(asked, request.timeout_s)
        except WorkerLost as lost:
            reply = protocol.ComparedForeign(
                Compared("not_built", (f"the worker was lost: {lost}",))
            )
    if isinstance(reply, protocol.Failure):
        raise RequestError(reply.error)
    assert isinstance(reply, protocol.ComparedForeign), reply
    return ForeignAnswer(request.word, variant, paper, reply.compared)


def _check(request: ForeignRequest) -> protocol.Compare:
    """The message to the worker. Raises RequestError for what cannot be read."""
    where, colon, name = request.word.rpartition(":")
    if not colon or not name:
        raise RequestError(f"verify --as {request.model}: name a class, as in FILE.py:CLASS")
    find_source(where, "verify")
    module, arguments = read_call(request.model)
    extent: Any = arguments.pop("extent", None)
    variant = Variant(module, extent, tuple(arguments.items()))
    given = _read_arguments(request.arguments, "--args")
    return protocol.Compare(request.word, variant, given, _read_pairs(request.pairs))


def read_call(words: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of a variant as `list` and `verify` show it.

    >>> read_call("ge_theta(extent=4)")
    ('ge_theta', {'extent': 4})
    """
    name, bracket, rest = words.strip().partition("(")
    if not bracket:
        return name, {}
    return name.strip(), _read_arguments(rest.strip().removesuffix(")"), f"--as {words}")


def _read_arguments(words: str, place: str) -> dict[str, Any]:
    """Keyword arguments as Python writes them. Raises RequestError for anything else."""
    try:
        call = ast.parse(f"f({words})", mode="eval").body
        assert isinstance(call, ast.Call)
        named = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
    except (SyntaxError, ValueError, AssertionError):
        call, named = None, {}
    if call is None or call.args or len(named) != len(call.keywords):
        raise RequestError(
            f'{place}: {words!r} are not arguments (as in "reduction=16, bias=True")'
        )
    return named


def _read_pairs(words: str) -> dict[str, str]:
    """THEIRS=OURS pairs between commas. Raises RequestError for anything else."""
    pairs: dict[str, str] = {}
    for one in filter(None, (part.strip() for part in words.split(","))):
        theirs, equals, ours = (part.strip() for part in one.partition("="))
        if not (theirs and equals and ours):
            raise RequestError(f"--map: {one!r} is not a pair (as in conv.weight=fc1.weight)")
        pairs[theirs] = ours
    return pairs


def _choose(known: Registry, variant: Variant) -> tuple[Variant, str | None]:
    """The variant, under its full name, and its paper. Raises RequestError without a formula."""
    entries: Mapping[str, Any] = {entry.name: entry for entry in known}
    name = variant.module
    if name not in entries and TIMM + name in entries:
        name = TIMM + name
    entry = known.get(name, "--as")
    if not entry.has_formula:
        having = [each.name for each in known if each.has_formula]
        raise RequestError(f"--as {name}: no formula is registered{nearest(name, having)}")
    extent = variant.at_stage(1)
    if extent is not None and (problem := entry.extent_problem(extent)):
        raise RequestError(f"--as {name}: {problem}")
    return Variant(name, variant.extent, variant.arguments), entry.paper
