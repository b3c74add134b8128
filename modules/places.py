"""Finds the places for a module in any convolutional network, by tracing one forward.

A network that names its layers and blocks in its own way still shows them in what it computes:
  block   a sum of two maps of one size ends a residual block. Its branch is the operand behind more
          convolutions; the place is after the branch's last layer.
  inner   after the last spatial convolution of the branch, with the norm and activation layers that
          follow it. Without residual blocks: after each spatial convolution.
  slot    where a layer weighs its own input by a gate, one number for each channel or position:
          that is attention. The module takes its place.
  stage   after the last block of each map size; without blocks, after its last spatial convolution.
Stages are the map sizes at which the network has such places, counted from 1.

No module can be put after a layer that a forward calls twice, such as one ReLU for a whole block.
What a network computes outside of layers (`F.relu`) is followed, but no module can be put after it;
the place is then after the last layer before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

Size = tuple[int, int]
ADDS = {torch.ops.aten.add, torch.ops.aten.add_}
PRODUCTS = {torch.ops.aten.mul, torch.ops.aten.mul_}
CONVOLUTIONS = {torch.ops.aten.convolution}
NORMS = {
    torch.ops.aten.native_batch_norm,
    torch.ops.aten._native_batch_norm_legit_no_training,
    torch.ops.aten.cudnn_batch_norm,
    torch.ops.aten.native_group_norm,
}


@dataclass(frozen=True, slots=True)
class Found:
    """A layer whose output a module can take.

    name: for `get_submodule`.
    """

    name: str
    size: Size


@dataclass
class Places:
    """The places of a network, each in the order of the forward.

    ends: the last layer of each block.
    """

    block: list[Found] = field(default_factory=list)
    inner: list[Found] = field(default_factory=list)
    slot: list[Found] = field(default_factory=list)
    ends: list[Found] = field(default_factory=list)

    @property
    def has_blocks(self) -> bool:
        return bool(self.block)

    @property
    def sizes(self) -> list[Size]:
        """The map sizes of the stages, in the order of the forward."""
        return list(dict.fromkeys(found.size for found in self.block or self.inner))

    @property
    def stage(self) -> list[Found]:
        last = {found.size: found for found in (self.ends if self.has_blocks else self.inner)}
        return [last[size] for size in self.sizes if size in last]

    def stage_of(self, found: Found) -> int:
        """The stage of a place, from 1: the one of its size, or the next one with smaller maps."""
        smaller = (i for i, size in enumerate(self.sizes, 1) if size <= found.size)
        return next(smaller, len(self.sizes))


def find_places(model: nn.Module, x: Tensor) -> Places:
    """The places of `model`, from a forward of `x` in its present mode. Raises what it raises."""
    with torch.no_grad():
        recorder = _Recorder(x, _called_once(model, x))
        with recorder.watching(model), recorder:
            model(x)
    return recorder.places()


def _called_once(model: nn.Module, x: Tensor) -> set[str]:
    """The layers that a forward calls once. After another, a module would stand in many places."""
    calls: Counter[str] = Counter()

    def count(name: str, layer: nn.Module, given: Any) -> None:
        calls[name] += 1

    layers = model.named_modules()
    hooks = [layer.register_forward_pre_hook(partial(count, name)) for name, layer in layers]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return {name for name, number in calls.items() if number == 1}


# --- recording ------------------------------------------------------------------------------------


@dataclass
class _Unit:
    """A spatial convolution and what follows it up to the next one."""

    depth: int
    name: str | None = None
    size: Size = (0, 0)


@dataclass
class _Block:
    """A residual sum: the last layer of its branch, its inner unit, and its own last layer."""

    name: str | None
    inner: _Unit | None
    size: Size
    end: str | None = None


@dataclass(frozen=True)
class _Fact:
    """What is known of a tensor that depends on the input.

    depth: the convolutions on the longest path to it.
    layer: the last layer that gave it.
    unit: the last spatial convolution before it; is_open: nothing but norms and activations since.
    block: the residual sum that gave it, if nothing but activations came since.
    gated: the ids of the maps that gates, and nothing else, made into it.
    """

    depth: int = 0
    layer: str | None = None
    unit: _Unit | None = None
    is_open: bool = False
    block: _Block | None = None
    gated: frozenset[int] = frozenset()


class _Recorder(TorchDispatchMode):
    """Follows the tensors of one forward through layers and operators."""

    def __init__(self, x: Tensor, called_once: set[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._called_once = called_once
        self._is_square = x.shape[-1] == x.shape[-2]
        self._facts = {id(x): _Fact()}
        self._alive: list[Any] = [x]  # while a tensor lives, its id is its own
        self._stack: list[tuple[str, int]] = []  # the running layers, and the ids of their inputs
        self._blocks: list[_Block] = []
        self._units: list[_Unit] = []
        self._gates: dict[str, Size] = {}

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        hooks = []
        for name, layer in model.named_modules():
            hooks.append(layer.register_forward_pre_hook(partial(self._enter, name)))
            hooks.append(layer.register_forward_hook(partial(self._leave, name)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, name: str, layer: nn.Module, given: tuple[Any, ...]) -> None:
        self._stack.append((name, id(given[0]) if len(given) == 1 else 0))

    def _leave(self, name: str, layer: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        _, taken = self._stack.pop()
        fact = self._facts.get(id(out))
        is_map = isinstance(out, Tensor) and out.ndim == 4
        if fact is None or not is_map or name not in self._called_once or not name:
            return
        if taken in fact.gated:
            self._gates.setdefault(name, _size(out))
        if fact.layer is not None and isinstance(layer, nn.Identity):
            return
        if fact.unit is not None and fact.is_open:
            fact.unit.name, fact.unit.size = name, _size(out)
        if fact.block is not None:
            fact.block.end = name
        self._facts[id(out)] = replace(fact, layer=name)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        known = [fact for each in given if (fact := self._facts.get(id(each))) is not None]
        if known:
            fact = self._follow(func, given, known)
            for each in tree_iter(out):
                if isinstance(each, Tensor):
                    self._facts[id(each)] = fact
                    self._alive.append(each)
        return out

    def _follow(self, func: Any, given: list[Tensor], known: list[_Fact]) -> _Fact:
        """What is known of the result of an operator."""
        depth = max(fact.depth for fact in known)
        packet = func.overloadpacket
        if packet in CONVOLUTIONS:
            is_spatial = len(given) > 1 and max(given[1].shape[2:], default=1) > 1
            unit = _Unit(depth + 1) if is_spatial else known[0].unit
            if is_spatial:
                self._units.append(unit)  # type: ignore[arg-type]
            return _Fact(depth + 1, None, unit, is_spatial)
        if packet in ADDS and (block := self._block(given)) is not None:
            self._blocks.append(block)
            return _Fact(depth, block=block)
        if packet in PRODUCTS and (big := self._gated(given)) is not None:
            of_big = self._facts[id(big)]
            gated = of_big.gated | {id(big)}
            return _Fact(depth, of_big.layer, of_big.unit, gated=gated)
        if packet in NORMS or torch.Tag.pointwise in func.tags:
            main = max(zip(given, known, strict=False), key=lambda pair: pair[0].numel())[1]
            main = known[0] if len(known) == 1 else main
            return _Fact(depth, main.layer, main.unit, main.is_open, main.block)
        return _Fact(depth, unit=max(known, key=lambda fact: fact.depth).unit)

    def _block(self, given: list[Tensor]) -> _Block | None:
        """The residual block that this sum ends; None if it is another sum."""
        maps = [each for each in given if each.ndim == 4 and id(each) in self._facts]
        if len(maps) != 2 or maps[0].shape != maps[1].shape or not self._is_map(maps[0]):
            return None
        one, other = (self._facts[id(each)] for each in maps)
        branch, shortcut = (one, other) if one.depth >= other.depth else (other, one)
        inner = branch.unit if branch.unit is not shortcut.unit else None
        if branch.layer is None or (branch.depth == shortcut.depth and inner is None):
            return None
        return _Block(branch.layer, inner, _size(maps[0]))

    def _is_map(self, x: Tensor) -> bool:
        """Whether it is no vector; maps of square images are square, unless channels come last."""
        height, width = _size(x)
        return height * width > 1 and (height == width or not self._is_square)

    def _gated(self, given: list[Tensor]) -> Tensor | None:
        """The maps that this product weighs; None if it is no gate."""
        if len(given) != 2 or any(id(each) not in self._facts for each in given):
            return None
        big, gate = sorted(given, key=lambda each: (-each.numel(), _is_spread(each)))
        return big if big.ndim == 4 and _is_gate(gate, big) else None

    def places(self) -> Places:
        blocks = [block for block in self._blocks if block.name]
        units = [block.inner for block in blocks] if blocks else self._units
        return Places(
            block=_unique((b.name, b.size) for b in blocks),
            inner=_unique((u.name, u.size) for u in units if u is not None),
            slot=_outermost(_unique(self._gates.items())),
            ends=_unique((b.end, b.size) for b in blocks),
        )


def _size(maps: Tensor) -> Size:
    height, width = maps.shape[-2:]
    return int(height), int(width)


def _is_spread(x: Tensor) -> bool:
    """Whether it repeats one number, as after `expand_as`."""
    return any(stride == 0 for stride, n in zip(x.stride(), x.shape, strict=True) if n > 1)


def _is_gate(gate: Tensor, maps: Tensor) -> bool:
    """Whether `gate` has one number for each channel, or for each position, of `maps`."""
    if gate.ndim != 4 or _size(maps) == (1, 1):
        return False
    own = [
        n if stride or n == 1 else 1 for n, stride in zip(gate.shape, gate.stride(), strict=True)
    ]
    of_channels = own[1:] == [maps.shape[1], 1, 1]
    return of_channels or own[1:] == [1, *maps.shape[2:]]


def _unique(found: Iterable[tuple[str | None, Size]]) -> list[Found]:
    """The places that have a layer, each once."""
    names: dict[str, Found] = {}
    for name, size in found:
        if name:
            names.setdefault(name, Found(name, size))
    return list(names.values())


def _outermost(found: list[Found]) -> list[Found]:
    """Those that are not inside another."""
    names = [each.name for each in found]
    return [f for f in found if not any(f.name.startswith(f"{name}.") for name in names)]
