"""Answers the requests to a worker: inspects cases, times blocks and checks variants."""

from __future__ import annotations

import os
from contextlib import suppress

import torch

from attn_bench.catalog import loading
from attn_bench.catalog.registry import Registry
from attn_bench.model import machine, protocol
from attn_bench.model.case import Case
from attn_bench.model.errors import RequestError
from attn_bench.model.metrics import Timing
from attn_bench.model.run import Facts
from attn_bench.worker import conformance
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.behaviour import InputChanged
from attn_bench.worker.build import Builder, Built
from attn_bench.worker.devices.base import Device, open_device
from attn_bench.worker.inspection import inspect_case
from attn_bench.worker.placement import Places
from attn_bench.worker.rates import measure_rates


class Bench:
    """A device, the registered modules, and the cases in use."""

    def __init__(self, device: Device, modules: Registry) -> None:
        self.device = device
        self.modules = modules
        self._builder = Builder(device, modules)
        self._places = Places()

    def answer(self, message: protocol.Message) -> protocol.Reply:
        """The reply. A fault of the module under test is a Failure; other errors are not caught."""
        try:
            match message:
                case protocol.Describe():
                    return protocol.Described([entry.description for entry in self.modules])
                case protocol.Load(modules=names):
                    return self.load(names)
                case protocol.ShareMemory(workers=workers):
                    limit = self.device.fair_share_bytes(workers)
                    if limit is not None:
                        self.device.limit_memory(limit)
                    return protocol.MemoryShared(limit)
                case protocol.MeasureRates(dtype=dtype):
                    rates = attempt("rates", lambda: measure_rates(self.device, dtype))
                    return protocol.RatesMeasured(rates)
                case protocol.Inspect(case=case):
                    return protocol.Inspected(self.inspect(case))
                case protocol.RunBlock(case=case, calls=calls, place=place):
                    return protocol.Timed(self.time_block(case, calls, place))
                case protocol.Verify(variant=variant, check=check):
                    entry = attempt("registry", lambda: self.modules.get(variant.module))
                    return protocol.Verified(
                        conformance.verify(entry, variant, check, self.device.name)
                    )
        except CaseFailed as failed:
            return protocol.Failure(failed.status, str(failed), failed.poisoned)
        raise AssertionError(f"no answer to {message}")

    def load(self, names: list[str]) -> protocol.Loaded:
        """Import the factories of `names`. If an import fails, building the case fails later."""
        for name in names:
            with suppress(CaseFailed):
                attempt("constructor", self.modules.get(name).factory)
        return protocol.Loaded()

    def build(self, case: Case) -> Built:
        """The case, ready to be called. Raises CaseFailed."""
        return self._builder.build(case)

    def time_block(self, case: Case, calls: int, place: int) -> Timing:
        """Time one block, with the input in this place. Raises CaseFailed."""
        built = self.build(case)
        with self._places.at(built, place), built.mode():
            return attempt("call", lambda: self.device.time_block(built.call, calls))

    def inspect(self, case: Case) -> Facts:
        """All facts of a case except its latency. Raises CaseFailed."""
        try:
            return inspect_case(self.build(case), self.device)
        except InputChanged:
            self._builder.forget_inputs()
            raise


def open_bench(request: protocol.Open) -> tuple[Bench | None, protocol.Reply]:
    """Open a bench for `request`; returns it with the reply. The bench is None if that failed."""
    if request.version != protocol.VERSION:
        return None, protocol.Failure(
            "failed", f"worker speaks protocol {protocol.VERSION}, not {request.version}"
        )
    try:
        device = open_device(request.device)
        device.limit_memory(request.memory_bytes)
        if request.threads:
            torch.set_num_threads(request.threads)
        modules = loading.load_all(request.modules_from)
        if request.baseline:
            loading.load_baseline(modules, request.baseline.package, request.baseline.files)
    except RequestError as error:
        return None, protocol.Failure("failed", str(error))
    hello = protocol.Hello(
        version=protocol.VERSION,
        device=device.name,
        device_facts=device.facts(),
        software=machine.software(),
        threads=torch.get_num_threads(),
        settings=protocol.settings_in(os.environ),
    )
    return Bench(device, modules), hello
