"""Maps the tensors of a foreign module onto those of a registered one, by shape and order.

Tensors are mapped in units: a convolution or linear layer with its bias, or a norm with its
statistics. A width or a kernel size may differ: `Dims` has each of ours with theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from attn_bench.model.errors import RequestError, nearest

Kind = Literal["layer", "norm", "affine"]
Shape = tuple[int, ...]
State = dict[str, Tensor]
STATISTICS = ("running_mean", "running_var")
Pair = tuple[str, str]
# What authors call a factor and what is added.
AFFINE: Sequence[Pair] = (("weight", "bias"), ("gamma", "beta"), ("scale", "shift"))
ROLES = {name: role for pair in AFFINE for name, role in zip(pair, AFFINE[0], strict=True)}
BN_EPS = 1e-5


@dataclass(frozen=True)
class Unit:
    """A layer's tensors. parts: the role of each, such as "weight" -> its name in the state.

    is_raw: parameters that belong to no layer, whose matrices may be transposed.
    """

    kind: Kind
    parts: Mapping[str, str]
    shape: Shape
    is_raw: bool = False

    @property
    def name(self) -> str:
        """`fc1` of fc1.weight; the whole name of a parameter that belongs to no layer."""
        first = next(iter(self.parts.values()))
        return first if self.is_raw else first.rpartition(".")[0] or first


@dataclass(frozen=True)
class Dims:
    """Sizes of ours -> theirs, where they differ: numbers of channels, and sides of kernels."""

    channels: Mapping[int, int] = field(default_factory=dict)
    kernels: Mapping[int, int] = field(default_factory=dict)

    def applied(self, shape: Shape) -> Shape:
        """Our shape with their sizes."""
        inside = tuple(self.channels.get(size, size) for size in shape[:2])
        return inside + tuple(self.kernels.get(size, size) for size in shape[2:])

    @property
    def changed(self) -> int:
        return sum(a != b for a, b in [*self.channels.items(), *self.kernels.items()])


@dataclass(frozen=True)
class Match:
    """Units of ours with theirs; None where they have none."""

    pairs: tuple[tuple[Unit, Unit | None], ...]
    dims: Dims

    @property
    def missing(self) -> list[Unit]:
        return [mine for mine, other in self.pairs if other is None]


def units_of(state: Mapping[str, Tensor], pairs: Sequence[Pair] = AFFINE) -> list[Unit]:
    """The units of a state dict, in its order.

    pairs: the names of a factor and of what is added, which are one unit.
    """
    owners: dict[str, dict[str, str]] = {}
    for name, tensor in state.items():
        if tensor.is_floating_point():
            owner, _, leaf = name.rpartition(".")
            owners.setdefault(owner, {})[leaf] = name
    found: list[Unit] = []
    for parts in owners.values():
        shapes = {role: tuple(state[name].shape) for role, name in parts.items()}
        if parts.keys() <= {"weight", "bias", *STATISTICS} and "running_mean" in parts:
            found.append(Unit("norm", parts, shapes["running_mean"]))
        elif (pair := _affine(parts, pairs)) and shapes[pair[0]] == shapes[pair[1]]:
            roles = {"weight": parts[pair[0]], "bias": parts[pair[1]]}
            found.append(Unit("affine", roles, shapes[pair[0]]))
        elif "weight" in parts and parts.keys() <= {"weight", "bias"}:
            found.append(Unit("layer", parts, shapes["weight"]))
        else:
            found.extend(_raw_units(parts, state))
    return found


def _affine(parts: Mapping[str, str], pairs: Sequence[Pair]) -> Pair | None:
    """The names of a factor and of what is added, if the parts are just these."""
    return next((pair for pair in pairs if parts.keys() == set(pair)), None)


def _raw_units(parts: Mapping[str, str], state: Mapping[str, Tensor]) -> Iterator[Unit]:
    """Units of parameters that belong to no layer: a weight, and the bias that follows it."""
    names = list(parts.values())
    while names:
        weight = names.pop(0)
        roles, shape = {"weight": weight}, tuple(state[weight].shape)
        if len(shape) > 1 and names:
            follower = tuple(state[names[0]].shape)
            if len(_squeezed(follower)) == len(follower) == 1 and follower[0] in shape:
                roles["bias"] = names.pop(0)
        yield Unit("layer", roles, shape, is_raw=True)


def fixed_units(
    ours: Sequence[Unit], theirs: Mapping[str, Tensor], pairs: Mapping[str, str]
) -> tuple[list[tuple[Unit, Unit]], set[str]]:
    """The units that `--map theirs=ours` fixes, and the names of the tensors that they take.

    A name is that of a tensor, or of a layer. Raises RequestError for an unknown one.
    """
    roles = {name: (unit, role) for unit in ours for role, name in unit.parts.items()}
    taken: dict[int, dict[str, str]] = {}
    for their_name, our_name in pairs.items():
        theirs_here = _tensors(their_name, theirs)
        ours_here = _tensors(our_name, dict.fromkeys(roles))
        if len(theirs_here) > 1 and not theirs_here.keys() & ours_here.keys() & set(AFFINE[0]):
            theirs_here = {ROLES.get(leaf, leaf): name for leaf, name in theirs_here.items()}
        if len(theirs_here) != len(ours_here):
            ours_here = {leaf: name for leaf, name in ours_here.items() if leaf in theirs_here}
        for (leaf, name), our_tensor in zip(theirs_here.items(), ours_here.values(), strict=False):
            unit, role = roles[ours_here.get(leaf, our_tensor)]
            taken.setdefault(ours.index(unit), {})[role] = name
    fixed = []
    for index, parts in taken.items():
        unit = ours[index]
        shape = tuple(theirs[parts.get("weight", next(iter(parts.values())))].shape)
        fixed.append((unit, Unit(unit.kind, parts, shape, is_raw=True)))
    return fixed, {name for parts in taken.values() for name in parts.values()}


def check_fixed(
    fixed: Sequence[tuple[Unit, Unit]],
    dims: Dims,
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
) -> None:
    """Raise RequestError if a tensor that `--map` names cannot take the place of ours."""
    for mine, other in fixed:
        for role, name in other.parts.items():
            own = mine.parts[role]
            wanted, found = dims.applied(tuple(ours[own].shape)), tuple(theirs[name].shape)
            if sorted(_squeezed(wanted)) != sorted(_squeezed(found)):
                raise RequestError(
                    f"--map {name}={own}: {'×'.join(map(str, found))} does not fit "
                    f"{'×'.join(map(str, wanted))}"
                )


def _tensors(name: str, known: Mapping[str, object]) -> dict[str, str]:
    """The tensors that `name` is or holds, by the last part of their names."""
    if name in known:
        return {name.rpartition(".")[2]: name}
    inside = {each.rpartition(".")[2]: each for each in known if each.rpartition(".")[0] == name}
    if not inside:
        raise RequestError(f"--map: unknown parameter {name!r}{nearest(name, list(known))}")
    return inside


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def fits(ours: Unit, theirs: Unit, dims: Dims) -> bool:
    """Whether their tensors can take the place of ours."""
    if ours.kind != theirs.kind:
        return False
    wanted, found = _squeezed(dims.applied(ours.shape)), _squeezed(theirs.shape)
    return wanted == found or (theirs.is_raw and len(found) == 2 and wanted == found[::-1])


def dims_between(ours: Sequence[Unit], theirs: Sequence[Unit], channels: int) -> list[Dims]:
    """The sizes with which the most units fit, those with the fewest changes first."""
    inside = sorted({d for u in ours if len(u.shape) > 1 for d in u.shape[:2]} - {1, channels})
    sides = sorted({d for unit in ours for d in unit.shape[2:]} - {1})
    widths = sorted({d for unit in theirs for d in unit.shape[:2]} | {1})
    windows = sorted({d for unit in theirs for d in unit.shape[2:]} | {1})
    options = [
        *([own, *(d for d in widths if d != own)] for own in inside),
        *([own, *(d for d in windows if d != own)] for own in sides),
    ]
    scored: list[tuple[int, int, Dims]] = []
    for values in product(*options):
        kernels = dict(zip(sides, values[len(inside) :], strict=True))
        dims = Dims(dict(zip(inside, values, strict=False)), kernels)
        scored.append((-_matching(ours, theirs, dims), dims.changed, dims))
    best = min(score for score, _, _ in scored)
    ranked = sorted((one for one in scored if one[0] == best), key=lambda one: one[1])
    least = ranked[0][1]
    return [dims for _, changed, dims in ranked if changed <= least + 1]


def _matching(ours: Sequence[Unit], theirs: Sequence[Unit], dims: Dims) -> int:
    """The number of our units that can have one of theirs each (a greatest matching)."""
    holder: dict[int, int] = {}

    def place(mine: int, tried: set[int]) -> bool:
        for index, other in enumerate(theirs):
            if index not in tried and fits(ours[mine], other, dims):
                tried.add(index)
                if index not in holder or place(holder[index], tried):
                    holder[index] = mine
                    return True
        return False

    return sum(place(mine, set()) for mine in range(len(ours)))


def matches(ours: Sequence[Unit], theirs: Sequence[Unit], dims: Dims) -> Iterator[Match]:
    """Every way to give our units theirs, in order first; as few as possible stay without."""
    spare = len(ours) - _matching(ours, theirs, dims)

    def rest(at: int, used: frozenset[int], spare: int) -> Iterator[list[Unit | None]]:
        if at == len(ours):
            yield []
            return
        for index, other in enumerate(theirs):
            if index not in used and fits(ours[at], other, dims):
                for tail in rest(at + 1, used | {index}, spare):
                    yield [other, *tail]
        if spare:
            for tail in rest(at + 1, used, spare - 1):
                yield [None, *tail]

    for found in rest(0, frozenset(), spare):
        yield Match(tuple(zip(ours, found, strict=True)), dims)


def mapped_state(match: Match, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> State:
    """Their tensors under our names. A norm that they lack changes nothing, a bias is 0."""
    state: State = {}
    for mine, other in match.pairs:
        if other is None and mine.kind != "norm":
            continue
        for role, name in mine.parts.items():
            shape = match.dims.applied(tuple(ours[name].shape))
            if other is not None and role in other.parts:
                state[name] = _shaped(theirs[other.parts[role]], shape)
            else:
                state[name] = _neutral(role, shape, theirs)
        if other is not None and "bias" in other.parts and "bias" not in mine.parts:
            own = mine.parts["weight"].rpartition(".")[0]
            state[f"{own}.bias"] = theirs[other.parts["bias"]].flatten()
    return state


def _shaped(tensor: Tensor, shape: Shape) -> Tensor:
    if len(_squeezed(tuple(tensor.shape))) == 2 and _squeezed(tuple(tensor.shape)) != _squeezed(
        shape
    ):
        tensor = tensor.squeeze().T
    return tensor.reshape(shape)


def _neutral(role: str, shape: Shape, theirs: Mapping[str, Tensor]) -> Tensor:
    value = {"weight": 1.0, "running_var": 1.0 - BN_EPS}.get(role, 0.0)
    device = next((tensor.device for tensor in theirs.values()), None)
    return torch.full(shape, value, dtype=torch.float64, device=device)
