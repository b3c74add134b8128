"""Answers the requests to a worker: inspects cases, times blocks and checks variants."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch._library.custom_ops import OPDEFS

from attn_bench.catalog import loading
from attn_bench.catalog.code import Loaded
from attn_bench.catalog.other_version import OtherVersion
from attn_bench.catalog.registry import BUILTIN, Registry
from attn_bench.model import machine, protocol
from attn_bench.model.case import BASELINE, Case
from attn_bench.model.checks import Checked
from attn_bench.model.errors import RequestError
from attn_bench.model.foreign import Compared
from attn_bench.model.metrics import Timing
from attn_bench.model.run import Facts
from attn_bench.worker import conformance
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.behaviour import InputChanged
from attn_bench.worker.build import Builder, Built
from attn_bench.worker.cores import unbound
from attn_bench.worker.devices.base import Device, open_device
from attn_bench.worker.exports import Exports
from attn_bench.worker.foreign.build import Foreign
from attn_bench.worker.foreign.compare import compare
from attn_bench.worker.inspection import inspect_case
from attn_bench.worker.intruders import Intruders
from attn_bench.worker.networks import describe_network
from attn_bench.worker.placement import Places
from attn_bench.worker.rates import measure_rates
from attn_bench.worker.state import Change, State


class Bench:
    """A device, the registered modules, and the cases in use."""

    def __init__(
        self,
        device: Device,
        modules: Registry,
        loaded: Loaded | None = None,
        baseline: OtherVersion | None = None,
        state: State | None = None,
        exports: str | None = None,
    ) -> None:
        """state: that of this process before any user's code ran; None takes the present one."""
        self.device = device
        self.modules = modules
        self._loaded = loaded or Loaded()
        self._baseline = baseline or OtherVersion()
        self._state = state or State()
        self._builder = Builder(device, modules, Exports(exports))
        self._places = Places()

    def answer(self, message: protocol.Message) -> protocol.Reply:
        """The reply. A fault of the module under test is a Failure; other errors are not caught.

        What the module changed for the whole process is put back, and the reply tells it.
        """
        reply = self._answer(message)
        try:
            attempt("memory", self.device.release)
        except CaseFailed as failed:  # an earlier error has made the device unusable
            if not isinstance(reply, protocol.Failure):
                reply = protocol.Failure(failed.status, str(failed), poisoned=True)
        if isinstance(message, protocol.ShareMemory):
            self._state.accept()  # the limit of memory is ours
        return _tell(reply, self._state.put_back("compile" if _compiles(message) else "call"))

    def _answer(self, message: protocol.Message) -> protocol.Reply:
        try:
            match message:
                case protocol.Describe():
                    return protocol.Described([entry.description for entry in self.modules])
                case protocol.Load(modules=names):
                    return self.load(names)
                case protocol.FindSources(names=names):
                    return protocol.SourcesFound(self._loaded.find(names))
                case protocol.FindNetwork(name=name, image=image, layers=layers):
                    found = describe_network(name, image, layers)
                    return replace(found, sources=self._loaded.look())
                case protocol.ShareMemory(workers=workers):
                    limit = self.device.fair_share_bytes(workers)
                    if limit is not None:
                        self.device.limit_memory(limit)
                    return protocol.MemoryShared(limit)
                case protocol.MeasureRates(dtype=dtype):
                    rates = attempt("rates", lambda: measure_rates(self.device, dtype))
                    return protocol.RatesMeasured(rates)
                case protocol.Prepare(case=case):
                    with unbound():
                        return self.prepare(case)
                case protocol.Inspect(case=case):
                    with unbound():
                        return protocol.Inspected(self.inspect(case))
                case protocol.RunBlock(case=case, calls=calls, place=place):
                    timing = self.time_block(case, calls, place)
                    return protocol.Timed(timing, sources=self._loaded.look())
                case protocol.Verify(variant=variant, check=check):
                    entry = attempt("registry", lambda: self.modules.get(variant.module))
                    return protocol.Verified(
                        conformance.verify(entry, variant, check, self.device.name)
                    )
                case protocol.Compare():
                    return protocol.ComparedForeign(self.compare(message))
        except CaseFailed as failed:
            return protocol.Failure(failed.status, str(failed), failed.poisoned)
        except RequestError as error:  # a late import of the baseline found the current code
            return protocol.Failure("failed", str(error))
        raise AssertionError(f"no answer to {message}")

    def load(self, names: list[str]) -> protocol.Loaded:
        """Import the built-in factories of `names`. A failing import fails when the case is built.

        Users' code that is registered by its import path is imported when it is built, because only
        then is what it changes found.
        """
        known = {entry.name for entry in self.modules if entry.origin == BUILTIN}
        for name in known.intersection(names):
            with suppress(CaseFailed), self._version(is_baseline=name.endswith(BASELINE)):
                attempt("constructor", self.modules.get(name).factory)
        return protocol.Loaded()

    def compare(self, asked: protocol.Compare) -> Compared:
        """Compare a foreign class with a formula. Raises RequestError if it cannot be loaded."""
        name = asked.word.rpartition(":")[2]
        maker = Foreign(loading.load_object(asked.word, "verify"), name, asked.arguments)
        entry = self.modules.get(asked.variant.module)
        others = [other for other in self.modules if other.reference is not None]
        return compare(maker, entry, asked.variant, asked.pairs, others)

    def build(self, case: Case) -> Built:
        """The case, ready to be called. Raises CaseFailed."""
        return self._builder.build(case)

    def prepare(self, case: Case) -> protocol.Prepared:
        """Build the case and call it once. Raises CaseFailed."""
        with self._version(is_baseline=case.is_baseline):
            built = self.build(case)
            with built.mode():
                attempt("call", built.call)
        return protocol.Prepared(self._loaded.look())

    def time_block(self, case: Case, calls: int, place: int) -> Timing:
        """Time one block, with the input in this place. Raises CaseFailed."""
        with self._version(is_baseline=case.is_baseline):
            built = self.build(case)
            with self._places.at(built, place), built.mode():
                return attempt("call", lambda: self.device.time_block(built.call, calls))

    def inspect(self, case: Case) -> Facts:
        """All facts of a case except its latency. Raises CaseFailed."""
        try:
            with self._version(is_baseline=case.is_baseline):
                facts = inspect_case(self.build(case), self.device)
        except InputChanged:
            self._builder.forget_inputs()
            raise
        return replace(facts, sources=self._loaded.look())

    def _version(self, *, is_baseline: bool) -> AbstractContextManager[None]:
        """The context in which the code of one version runs."""
        return self._baseline.active() if is_baseline else nullcontext()


def _compiles(message: protocol.Message) -> bool:
    """Whether a compiler may start threads and processes that stay."""
    if isinstance(message, protocol.OfCase):
        return message.case.execution != "eager"
    return isinstance(message, protocol.Verify)


def _tell(reply: protocol.Reply, change: Change) -> protocol.Reply:
    """The reply with what the request changed; a Failure if that cannot be put back."""
    match reply:
        case protocol.Failure() if change.trouble:
            return replace(reply, poisoned=True)
        case protocol.Inspected(facts=facts) if not change.trouble:
            return protocol.Inspected(replace(facts, notes=(*facts.notes, *change.notes)))
        case protocol.Timed() if not change.trouble:
            return replace(reply, notes=change.notes)
        case protocol.Verified() if change.trouble:
            return protocol.Verified(Checked("failed", change.trouble))
        case protocol.Prepared() | protocol.Inspected() | protocol.Timed() if change.trouble:
            assert change.trouble is not None
            return protocol.Failure("failed", change.trouble, poisoned=True)
    return reply


def open_bench(
    request: protocol.Open, files: Sequence[int] = ()
) -> tuple[Bench | None, protocol.Reply]:
    """Open a bench for `request`; returns it with the reply. The bench is None if that failed.

    files: the descriptors that this process needs, if it is a worker's own.
    """
    if request.version != protocol.VERSION:
        return None, protocol.Failure(
            "failed", f"worker speaks protocol {protocol.VERSION}, not {request.version}"
        )
    loaded = Loaded()
    try:
        device = open_device(request.device)
        device.limit_memory(request.memory_bytes)
        if request.threads:
            torch.set_num_threads(request.threads)
        state = State(Intruders(files) if files else None)
        changes: list[str] = []

        def put_back(word: str) -> None:
            change = state.put_back("load")
            told = (*change.notes, *([change.trouble] if change.trouble else []))
            changes.extend(f"{Path(word).name} {text}" for text in told)

        modules = loading.load_all(request.modules_from, put_back)
        other = None
        if request.baseline:
            operators = dict(OPDEFS)
            other = loading.load_baseline(modules, request.baseline)
            if twice := [n for n, op in operators.items() if OPDEFS.get(n) is not op]:
                raise RequestError(
                    f"both versions define the operator {twice[0]}, and a process can only have "
                    "one: include __name__ in its name"
                )
            loaded.add_baseline(other.modules)
        put_back("the baseline")
    except RequestError as error:
        return None, protocol.Failure("failed", str(error))
    loaded.look()
    hello = protocol.Hello(
        version=protocol.VERSION,
        device=device.name,
        device_facts=device.facts(),
        software=machine.software(),
        threads=torch.get_num_threads(),
        settings=protocol.settings_in(os.environ),
        sources=dict(loaded.digests),
        changes=changes,
    )
    return Bench(device, modules, loaded, other, state, request.exports), hello
