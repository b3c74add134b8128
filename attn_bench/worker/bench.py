"""What a worker answers: it builds cases, counts them, and runs blocks when told."""

from __future__ import annotations

import hashlib
import inspect
import os
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor, nn

from attn_bench.catalog import registry
from attn_bench.catalog.networks import Place
from attn_bench.model import machine, protocol
from attn_bench.model.case import Case, Network, Shape
from attn_bench.model.errors import RequestError, in_one_line
from attn_bench.model.run import Facts
from attn_bench.worker import conformance
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.devices import Device, open_device
from attn_bench.worker.metrics import parameters, work
from attn_bench.worker.rates import measure_rates

TENSORS_BYTES = 2**30
LEAST_MODULES_BYTES, MOST_MODULES_BYTES, MODULES_SHARE = 2**30, 2**32, 8
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Built:
    """A case ready to be called, inside `mode()`.

    `module` is the eager one, also where `forward` is compiled; `call` is what is timed. `subject`
    is what is under test: the module; in a network one of those put in, and none in a plain one.
    """

    module: nn.Module
    subject: nn.Module | None
    x: Tensor
    forward: Callable[[Tensor], Any]
    call: Callable[[], Any]
    is_training: bool

    def mode(self) -> torch.inference_mode:
        return torch.inference_mode(not self.is_training)


class Cache:
    """What was used last, up to a limit: memory stays bounded."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._items: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._total = 0

    def forget(self) -> None:
        self._items.clear()
        self._total = 0

    def get(self, key: Any, make: Callable[[], T], size: Callable[[T], int]) -> T:
        if key in self._items:
            self._items.move_to_end(key)
        else:
            made = make()
            self._items[key] = made, size(made)
            self._total += size(made)
            while self._total > self._limit and len(self._items) > 1:
                _, (_, freed) = self._items.popitem(last=False)
                self._total -= freed
        item: T = self._items[key][0]
        return item


class Bench:
    """What the worker has on its table: a device, the registered modules, the cases in use."""

    def __init__(self, device: Device, modules: registry.Registry) -> None:
        self.device = device
        self.modules = modules
        self._tensors = Cache(TENSORS_BYTES)
        self._cases = Cache(_modules_bytes())

    # --- requests ---------------------------------------------------------------------------

    def answer(self, request: protocol.Request) -> protocol.Reply:
        try:
            match request:
                case protocol.Describe():
                    return self.describe()
                case protocol.Load(modules=names):
                    return self.load(names)
                case protocol.MeasureRates(dtype=dtype):
                    measure = partial(measure_rates, self.device.name, dtype)
                    rates = attempt("rates", lambda: measure(self.device.time_block))
                    return protocol.RatesMeasured(rates)
                case protocol.Inspect():
                    return self.inspect(request)
                case protocol.RunBlock(case=case, calls=calls):
                    built = self.built(case)
                    with built.mode():
                        timing = attempt("call", lambda: self.device.time_block(built.call, calls))
                    return protocol.Timed(timing)
                case protocol.Verify(variant=variant, check=check):
                    entry = attempt("registry", lambda: self.modules.get(variant.module))
                    return protocol.Verified(
                        conformance.verify(entry, variant, check, self.device.name)
                    )
        except CaseFailed as failed:
            return protocol.Failure(failed.status, str(failed))
        raise AssertionError(f"no answer to {request}")

    def describe(self) -> protocol.Described:
        return protocol.Described(
            [
                protocol.EntryDescription(
                    name=entry.name,
                    extents=list(entry.extents)
                    if isinstance(entry.extents, tuple)
                    else entry.extents,
                    paper=entry.paper,
                    summary=entry.summary,
                    origin=entry.origin,
                    probes=list(entry.probes),
                    refuses=list(entry.refuses),
                )
                for entry in self.modules
            ]
        )

    def load(self, names: list[str]) -> protocol.Loaded:
        """Import the factories of `names`; one that cannot be imported is told when it is built."""
        for name in names:
            with suppress(CaseFailed):
                attempt("constructor", self.modules.get(name).factory)
        return protocol.Loaded()

    def inspect(self, request: protocol.Inspect) -> protocol.Inspected:
        """Everything about a case but its latency. Raises CaseFailed."""
        case = request.case
        built = self.built(case)
        module = built.module
        with built.mode(), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            output_bytes = self._check_behaviour(built, case).nbytes
            peak_memory_bytes = attempt("call", lambda: self.device.peak_memory_bytes(built.call))
        bytes_min = parameters.bytes_min(module, case, output_bytes)
        counted, notes = None, [f"warned: {text}" for text in _told(warned)]
        try:
            counted = attempt("counting", lambda: work.count_work(module, built.x.detach()))
        except CaseFailed as failed:
            notes.append(str(failed))
        facts = Facts(
            params=parameters.parameters(module),
            buffers=parameters.buffers(module),
            bytes_min=bytes_min,
            **(asdict(counted) if counted else {}),
            peak_memory_bytes=peak_memory_bytes,
            notes=tuple(notes),
            source_hash=_source_hash(built.subject),
        )
        return protocol.Inspected(facts)

    # --- cases ------------------------------------------------------------------------------

    def built(self, case: Case) -> Built:
        """The case from the cache, or built anew with the same weights as before."""

        def size(built: Built) -> int:
            return sum(p.numel() * p.element_size() for p in built.module.parameters())

        return self._cases.get(case.id, lambda: self._build(case), size)

    def _build(self, case: Case) -> Built:
        shape, device = case.shape, self.device.name
        dtype = getattr(torch, case.dtype)
        layout = _layout(case)
        torch.manual_seed(zlib.crc32(case.current.id.encode()))
        if case.network is None:
            module = self._constructed(case, shape.channels, (shape.height, shape.width))
            subject: nn.Module | None = module
        else:
            module, subject = self._network(case, case.network)
        module = attempt(
            "memory format",
            lambda: module.to(device=device, dtype=dtype).to(memory_format=layout),  # type: ignore[call-overload]
        )
        module.train(case.mode == "training")
        x = attempt("input", lambda: self._tensor("input", case))
        run: Callable[[Tensor], Tensor] = module
        if case.execution == "compile":
            # One process compiles many cases: none of them may fall back to eager unnoticed.
            torch._dynamo.config.recompile_limit = 10_000
            torch._dynamo.config.fail_on_recompile_limit_hit = True
            run = torch.compile(module, dynamic=False)
        if case.mode == "inference":
            return Built(module, subject, x, run, partial(run, x), is_training=False)
        wanted = [p for p in module.parameters() if p.requires_grad]
        if case.network is None:
            x = x.detach().requires_grad_()
            wanted = [x, *wanted]
            gradient = attempt("input", lambda: self._tensor("gradient", case))
        else:  # images need no gradient, and a network's result has not their shape
            gradient = attempt("forward", lambda: torch.ones_like(run(x)))

        def forward_and_backward() -> tuple[Tensor | None, ...]:
            """Fresh gradients each time, as after `zero_grad(set_to_none=True)`."""
            return torch.autograd.grad(run(x), wanted, gradient, allow_unused=True)

        return Built(module, subject, x, run, forward_and_backward, is_training=True)

    def _constructed(
        self, case: Case, channels: int, feat_size: tuple[int, int], stage: int = 1
    ) -> nn.Module:
        """The variant of `case` for maps of that size."""
        entry = attempt("registry", lambda: self.modules.get(case.variant.module))
        extent, arguments = case.variant.at_stage(stage), dict(case.variant.arguments)
        module = attempt(
            "constructor", lambda: entry.build(channels, feat_size, extent, **arguments)
        )
        if not isinstance(module, nn.Module):
            raise CaseFailed("failed", f"constructor: gives {type(module).__name__}, no nn.Module")
        return module

    def _network(self, case: Case, network: Network) -> tuple[nn.Module, nn.Module | None]:
        """The network of `case`, and the last of the modules that were put into it."""
        made: list[nn.Module] = []

        def make(channels: int, feat_size: tuple[int, int], stage: int) -> nn.Module:
            made.append(self._constructed(case, channels, feat_size, stage))
            return made[-1]

        from attn_bench.modules import backbones  # and timm's models, which take a second

        place = Place.read(network.place)
        model = attempt(
            "backbone",
            lambda: backbones.build(
                network.backbone,
                None if case.is_plain else make,
                place=place.kind,
                stages=place.stages,
                input_size=case.shape.height,
            ),
        )
        return model, made[-1] if made else None

    def _tensor(self, purpose: str, case: Case) -> Tensor:
        """Standard normal values, shared by all cases of one shape, dtype and layout."""

        def make() -> Tensor:
            shape: Shape = case.shape
            generator = torch.Generator().manual_seed(zlib.crc32(f"{purpose} {shape}".encode()))
            values = torch.randn(
                shape.batch, shape.channels, shape.height, shape.width, generator=generator
            )
            return values.to(
                device=self.device.name,
                dtype=getattr(torch, case.dtype),
                memory_format=_layout(case),
            )

        return self._tensors.get((purpose, *case.input_key), make, lambda t: t.nbytes)

    def _check_behaviour(self, built: Built, case: Case) -> Tensor:
        """Same shape (of a network: one row an image) and dtype out, finite, the input untouched;
        finite gradients in training. Gives the result."""
        x, shape = built.x, tuple(built.x.shape)
        before = x.detach().clone()
        result = attempt("forward", lambda: built.forward(x))
        attempt("forward", self.device.drain)
        if not isinstance(result, Tensor):
            raise CaseFailed("failed", f"forward: returned {type(result).__name__}, not a tensor")
        if case.network is not None:
            shape = (shape[0], *result.shape[1:2])
        if tuple(result.shape) != shape:
            raise CaseFailed(
                "failed", f"forward: returned shape {tuple(result.shape)}, not the input's {shape}"
            )
        if result.dtype != x.dtype:
            raise CaseFailed("failed", f"forward: returned {result.dtype}, not {x.dtype}")
        if not bool(torch.isfinite(result).all()):
            raise CaseFailed("failed", "forward: returned NaN or infinity for a finite input")
        if not torch.equal(x.detach(), before):
            self._tensors.forget()  # others are to be measured on the same input
            raise CaseFailed("failed", "forward: changed its input in place")
        if built.is_training:
            gradients = attempt("backward", built.call)
            if gradients[0] is None:
                first = "input" if case.network is None else "first layer"
                raise CaseFailed("failed", f"backward: no gradient reaches the {first}")
            if not all(bool(torch.isfinite(g).all()) for g in gradients if g is not None):
                raise CaseFailed("failed", "backward: gave a gradient with NaN or infinity")
        return result


def _modules_bytes() -> int:
    """For the modules in use: what is built anew in each round is not measured meanwhile. A few
    workers share the machine."""
    wanted = psutil.virtual_memory().available // MODULES_SHARE
    return min(max(wanted, LEAST_MODULES_BYTES), MOST_MODULES_BYTES)


def _layout(case: Case) -> torch.memory_format:
    channels_last = case.memory_format == "channels_last"
    return torch.channels_last if channels_last else torch.contiguous_format


def _told(warned: Iterable[warnings.WarningMessage]) -> list[str]:
    """Each warning once, in one line."""
    return sorted({in_one_line(w.message) for w in warned if isinstance(w.message, Warning)})


def _source_hash(module: nn.Module | None) -> str | None:
    """Of the file that defines the module, or of all files of its package, so that results of
    another code are not confused."""
    if module is None:
        return None
    try:
        file = inspect.getsourcefile(type(module))
    except TypeError:  # defined where there is no file
        return None
    if not file:
        return None
    folder = Path(file).parent
    files = sorted(folder.glob("*.[pc]*")) if (folder / "__init__.py").exists() else [Path(file)]
    content = b"".join(path.read_bytes() for path in files if path.is_file())
    return hashlib.sha256(content).hexdigest()[:16]


def open_bench(request: protocol.Open) -> tuple[Bench | None, protocol.Reply]:
    """The bench that `request` asks for, and what to answer."""
    if request.version != protocol.VERSION:
        return None, protocol.Failure(
            "failed", f"worker speaks protocol {protocol.VERSION}, not {request.version}"
        )
    try:
        device = open_device(request.device)
        device.limit_memory(request.memory_bytes)
        if request.threads:
            torch.set_num_threads(request.threads)
        modules = registry.load_all(request.modules_from)
        if request.baseline:
            registry.load_baseline(modules, request.baseline.package, request.baseline.files)
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
