"""Builds cases, and caches the ones used last."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor, nn

from attn_bench.catalog.backbones import Place
from attn_bench.catalog.registry import Registry
from attn_bench.model.case import Case, Network
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.behaviour import check_module
from attn_bench.worker.cores import unbound
from attn_bench.worker.devices.base import Device
from attn_bench.worker.executions.base import (
    Execution,
    Forward,
    find_problem,
    open_execution,
)
from attn_bench.worker.exports import Exports
from attn_bench.worker.networks import open_network

TENSORS_BYTES = 2**30
LEAST_MODULES_BYTES, MOST_MODULES_BYTES, MODULES_SHARE = 2**30, 2**32, 8
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Built:
    """A case that is ready to be called, inside `mode()`.

    module: the eager module, even if `forward` executes it in another way.
    under_test: the module, or the last one in a network; None in a plain network.
    x: the input.
    forward: computes the module in its execution.
    execution: what made `forward`.
    call: the call that is timed.
    """

    case: Case
    module: nn.Module
    under_test: nn.Module | None
    x: Tensor
    forward: Forward
    execution: Execution
    call: Callable[[], Any]

    def mode(self) -> torch.inference_mode:
        return torch.inference_mode(self.case.mode == "inference")


class Cache:
    """A cache of the values used last, with a limit of memory."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._items: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._total_bytes = 0

    def forget(self) -> None:
        self._items.clear()
        self._total_bytes = 0

    def get(self, key: Any, make: Callable[[], T], size: Callable[[T], int]) -> T:
        if key in self._items:
            self._items.move_to_end(key)
        else:
            made = make()
            self._items[key] = made, size(made)
            self._total_bytes += size(made)
            while self._total_bytes > self._limit_bytes and len(self._items) > 1:
                _, (_, freed) = self._items.popitem(last=False)
                self._total_bytes -= freed
        item: T = self._items[key][0]
        return item


class Builder:
    """Builds cases on one device from one registry. A fault of a module raises CaseFailed."""

    def __init__(self, device: Device, modules: Registry, exports: Exports | None = None) -> None:
        self._device = device
        self._exports = exports or Exports()
        self._modules = modules
        self._tensors = Cache(TENSORS_BYTES)
        self._cases = Cache(_modules_bytes())

    def build(self, case: Case) -> Built:
        """The case from the cache, or built anew with the same weights as before."""
        return self._cases.get(case.id, lambda: self._build(case), _held_bytes)

    def forget_inputs(self) -> None:
        """Forget all inputs. Call it if a module wrote to one, because cases share inputs."""
        self._tensors.forget()

    def _build(self, case: Case) -> Built:
        execution = open_execution(case.execution, self._exports)
        problem = find_problem(execution, case)
        if problem is not None:
            raise CaseFailed("unsupported", problem)
        module, under_test = self._module(case)
        x = attempt("input", lambda: self._tensor("input", case))
        if case.mode == "training" and case.network is None:  # images need no gradient
            x = x.detach().requires_grad_()
        with torch.inference_mode(case.mode == "inference"), unbound():
            forward = attempt(case.execution, lambda: execution.prepare(module, x, case))
        if case.mode == "inference":
            call: Callable[[], Any] = partial(forward, x)
        else:
            call = self._backward(case, module, x, forward)
        return Built(case, module, under_test, x, forward, execution, call)

    def _module(self, case: Case) -> tuple[nn.Module, nn.Module | None]:
        """The module of `case` on the device, and the part of it under test."""
        shape = case.shape
        torch.manual_seed(zlib.crc32(case.current.in_eager.id.encode()))
        if case.network is None:
            module = self._construct(case, shape.channels, (shape.height, shape.width))
            under_test: nn.Module | None = module
        else:
            module, under_test = self._network(case, case.network)
        dtype, layout = getattr(torch, case.dtype), _layout(case)
        module = attempt(
            "memory format",
            lambda: module.to(device=self._device.name, dtype=dtype).to(memory_format=layout),  # type: ignore[call-overload]
        )
        return module.train(case.mode == "training"), under_test

    def _backward(
        self, case: Case, module: nn.Module, x: Tensor, forward: Forward
    ) -> Callable[[], tuple[Tensor | None, ...]]:
        """A call that runs forward and backward, for a training case."""
        targets: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        if case.network is None:
            targets = [x, *targets]
            gradient = attempt("input", lambda: self._tensor("gradient", case))
        else:  # the result of a network does not have the shape of its input
            gradient = attempt("forward", lambda: torch.ones_like(forward(x)))

        def forward_and_backward() -> tuple[Tensor | None, ...]:
            """Return new gradients in each call, as after `zero_grad(set_to_none=True)`."""
            return torch.autograd.grad(forward(x), targets, gradient, allow_unused=True)

        return forward_and_backward

    def _construct(
        self, case: Case, channels: int, feat_size: tuple[int, int], stage: int = 1
    ) -> nn.Module:
        """Construct the variant of `case` for maps of that size."""
        entry = attempt("registry", lambda: self._modules.get(case.variant.module))
        extent, arguments = case.variant.at_stage(stage), dict(case.variant.arguments)
        return check_module(
            attempt("constructor", lambda: entry.build(channels, feat_size, extent, **arguments))
        )

    def _network(self, case: Case, network: Network) -> tuple[nn.Module, nn.Module | None]:
        """The network of `case`, and the last module inserted into it."""
        made: list[nn.Module] = []

        def make(channels: int, feat_size: tuple[int, int], stage: int) -> nn.Module:
            made.append(self._construct(case, channels, feat_size, stage))
            return made[-1]

        place, model = Place.read(network.place), open_network(network.backbone)
        if not case.is_plain:
            from attn_bench.modules import backbones

            attempt(
                "backbone",
                lambda: backbones.insert(
                    model,
                    make,
                    place.kind,
                    place.stages,
                    input_size=(case.shape.channels, case.shape.height, case.shape.width),
                    layers=place.layers,
                ),
            )
        return model, made[-1] if made else None

    def _tensor(self, purpose: str, case: Case) -> Tensor:
        """A tensor of standard normal values, shared by cases of one shape, dtype and layout."""

        def make() -> Tensor:
            shape = case.shape
            generator = torch.Generator().manual_seed(zlib.crc32(f"{purpose} {shape}".encode()))
            values = torch.randn(
                shape.batch, shape.channels, shape.height, shape.width, generator=generator
            )
            return values.to(
                device=self._device.name,
                dtype=getattr(torch, case.dtype),
                memory_format=_layout(case),
            )

        return self._tensors.get((purpose, *case.input_key), make, lambda t: t.nbytes)


def _modules_bytes() -> int:
    """The memory limit of cached modules. Rebuilding a module in each round would cost time.

    A few workers share the machine, so each uses a share of the free memory.
    """
    share = psutil.virtual_memory().available // MODULES_SHARE
    return min(max(share, LEAST_MODULES_BYTES), MOST_MODULES_BYTES)


def _held_bytes(built: Built) -> int:
    """About what a cached case holds: weights, and what its execution keeps."""
    weights = sum(p.numel() * p.element_size() for p in built.module.parameters())
    return weights + built.execution.kept_maps * built.x.nbytes


def _layout(case: Case) -> torch.memory_format:
    channels_last = case.memory_format == "channels_last"
    return torch.channels_last if channels_last else torch.contiguous_format
