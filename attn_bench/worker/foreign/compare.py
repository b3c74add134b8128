"""Compares a foreign class with the formula of a registered module, and says what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from attn_bench.catalog.registry import Entry
from attn_bench.model.case import Variant
from attn_bench.model.errors import RequestError
from attn_bench.model.foreign import Compared
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.foreign.build import NotBuilt
from attn_bench.worker.foreign.candidates import Candidate
from attn_bench.worker.foreign.mapping import Match, Unit, units_of
from attn_bench.worker.foreign.search import Found, Search, Trial, say_dims, say_missing
from attn_bench.worker.specimen import BATCH, CHANNELS, SIZES, Size, draw_weights

ODD_SIZE, MORE_CHANNELS = (15, 13), 256
DTYPES = (torch.float64, torch.float32)  # the second for a class that computes in it alone


class Maker(Protocol):
    """Makes the modules that are compared."""

    def build(self, channels: int, size: Size) -> tuple[nn.Module, str]:
        """A module, and the call in words. Raises NotBuilt."""

    def takes_channels(self) -> bool:
        """Whether the number of channels can be changed."""


def compare(
    maker: Maker,
    entry: Entry,
    variant: Variant,
    pairs: Mapping[str, str],
    others: Iterable[Entry] = (),
) -> Compared:
    """The verdict on what `maker` makes.

    Raises RequestError for an unknown name in `pairs`, and for a variant that cannot be built.
    pairs: tensors or layers of the class -> those of the registered module.
    others: further modules with a formula, one of which the class may compute instead.
    """
    try:
        module, call, trial, size = _first_trial(maker)
    except NotBuilt as reason:
        return Compared("not_built", (str(reason),))
    theirs = dict(module.state_dict())
    try:
        search = Search(entry, variant, size, CHANNELS, theirs, pairs)
    except CaseFailed as failed:
        raise RequestError(f"--as {variant.label}: {failed}") from failed
    trials, remarks = [trial], []
    try:
        trials.append(_trial(module, CHANNELS, ODD_SIZE, trial.x.dtype))
    except NotBuilt as reason:
        remarks.append(f"refuses maps of {ODD_SIZE[0]}×{ODD_SIZE[1]}: {reason}")
    for one in trials:
        if not _is_gate_or_result(one):
            return Compared("differs", (_say_shape(one),), call=call)
    found = search.find(trials)
    if found is None:
        return replace(_unknown(search, trials, others, entry), call=call)
    reasons = [*_reasons(found, CHANNELS)]
    if not reasons:
        more = _with_more_channels(maker, entry, variant, found, pairs, size, trial.x.dtype)
        reasons = [*more]
    remarks = [*found.candidate.remarks, *_biases(found.match), *_unused(search, found), *remarks]
    is_paper = not (found.candidate.reasons or found.around or found.is_filled)
    if reasons and is_paper:
        remarks.insert(0, "but for these sizes, the formula agrees")
    return Compared(
        "differs" if reasons else "agrees",
        tuple(reasons),
        tuple(remarks),
        call,
        _names(found.match),
        None if is_paper else search.apart,
    )


def _first_trial(maker: Maker) -> tuple[nn.Module, str, Trial, Size]:
    """The module in the first size and dtype that it accepts. Raises NotBuilt."""
    refusal: NotBuilt | None = None
    for dtype in DTYPES:
        for size in SIZES:
            module, call = maker.build(CHANNELS, size)
            draw_weights(module, seed=0).eval()
            try:
                return module, call, _trial(module, CHANNELS, size, dtype), size
            except NotBuilt as reason:
                refusal = refusal or NotBuilt(f"{call}: {reason}")
    assert refusal is not None
    raise refusal


def _trial(module: nn.Module, channels: int, size: Size, dtype: torch.dtype) -> Trial:
    """The result for a random input. Raises NotBuilt if the module fails or gives no tensor."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, channels, *size, generator=generator, dtype=torch.float64).to(dtype)
    torch.manual_seed(0)
    try:
        with torch.no_grad():
            y = attempt("forward", lambda: module.to(dtype)(x.clone()))
    except CaseFailed as failed:
        raise NotBuilt(str(failed)) from failed
    if not isinstance(y, Tensor):
        kind = type(y).__name__
        raise NotBuilt(f"forward gives {kind}, not a tensor; wrap it in an nn.Module that does")
    if y.dtype not in DTYPES:
        kind = str(y.dtype).removeprefix("torch.")
        raise NotBuilt(f"forward gives {kind}; it must give the type of its input")
    return Trial(x, y)


def _is_gate_or_result(trial: Trial) -> bool:
    """Whether each side has the length of the input's, or 1 as that of a gate."""
    sides = zip(trial.y.shape, trial.x.shape, strict=False)
    return trial.y.dim() == trial.x.dim() and all(ours in (1, theirs) for ours, theirs in sides)


def _say_shape(trial: Trial) -> str:
    given, wanted = ("×".join(map(str, each.shape)) for each in (trial.y, trial.x))
    return f"the result is {given or 'one number'}, and its input is {wanted}"


def _reasons(found: Found, channels: int) -> Iterator[str]:
    yield from found.candidate.reasons
    if found.around is not None:
        yield found.around
    if found.is_filled:
        yield from say_missing(found.match.missing)
    yield from say_dims(found.match.dims, channels)


def _with_more_channels(
    maker: Maker,
    entry: Entry,
    variant: Variant,
    found: Found,
    pairs: Mapping[str, str],
    size: Size,
    dtype: torch.dtype,
) -> Iterator[str]:
    """What differs at 256 channels alone, as a kernel size that should grow."""
    if not maker.takes_channels():
        return
    try:
        module, _ = maker.build(MORE_CHANNELS, size)
        draw_weights(module, seed=0).eval()
        trial = _trial(module, MORE_CHANNELS, size, dtype)
    except NotBuilt:
        return
    if not _is_gate_or_result(trial):
        yield _say_shape(trial)
        return
    search = Search(entry, variant, size, MORE_CHANNELS, dict(module.state_dict()), pairs)
    place, same = f"at {MORE_CHANNELS} channels: ", Candidate((), (), found.candidate.changes)
    names = _names(found.match)
    for match in search.matches:
        if _names(match) == names:
            changed = [*say_dims(match.dims, MORE_CHANNELS)]
            if changed:
                yield from (place + words for words in changed)
            elif search.check(Found(same, match, found.is_filled), [trial]) is None:
                yield f"{place}another result"
            return


def _names(match: Match) -> dict[str, str]:
    """Their names of tensors -> ours."""
    return {
        name: mine.parts.get(role, f"{mine.name}.{role}")
        for mine, other in match.pairs
        if other is not None
        for role, name in other.parts.items()
    }


def _biases(match: Match) -> Iterator[str]:
    """Biases that one of the two has alone: papers rarely fix them."""
    both = [(mine, other) for mine, other in match.pairs if other is not None]
    layers = [(mine, other) for mine, other in both if mine.kind == other.kind == "layer"]
    without = [m.name for m, o in layers if "bias" in m.parts and "bias" not in o.parts]
    extra = [m.name for m, o in layers if "bias" in o.parts and "bias" not in m.parts]
    if without:
        yield f"without the biases of {', '.join(without)}"
    if extra:
        yield f"with a bias of {', '.join(extra)} that the registered module does not have"


def _unused(search: Search, found: Found) -> Iterator[str]:
    unused = _left_over(search, found.match)
    if unused:
        yield f"parameters without effect: {', '.join(unit.name for unit in unused)}"


def _left_over(search: Search, match: Match) -> list[Unit]:
    """Their units that take no part in `match`."""
    used = set(_names(match))
    return [unit for unit in units_of(search.theirs) if used.isdisjoint(unit.parts.values())]


def _unknown(
    search: Search, trials: list[Trial], others: Iterable[Entry], entry: Entry
) -> Compared:
    """The verdict if no candidate of this module gives what the class gives."""
    for other in others:
        if other.name != entry.name and (name := _computes(other, search, trials)):
            return Compared("differs", (f"it computes {name}, not {entry.name}",))
    left = [unit for match in search.matches[:1] for unit in _left_over(search, match)]
    names = ", ".join(f"{u.name} ({'×'.join(map(str, u.shape))})" for u in left)
    if search.apart is None:
        lacking = [u.name for match in search.matches[:1] for u in match.missing]
        parts = [f"nothing of the class fits {', '.join(lacking)}"] if lacking else []
        parts += [f"{names} of the class fits nothing"] if left else []
        reason = "; ".join(parts) or "the result has another shape than the input"
        verdict = "not_mapped" if parts else "differs"
        hint = "; give --map THEIRS=OURS, or see whether it is another module" if parts else ""
        return Compared(verdict, (reason + hint,))  # type: ignore[arg-type]
    reason = f"none of the known variants of {entry.name} agrees"
    if left:
        reason = f"it has parameters that {entry.name} does not have: {names}"
    return Compared("differs", (reason,), apart=search.apart)


def _computes(other: Entry, search: Search, trials: list[Trial]) -> str | None:
    """The name of `other` if the class computes its formula."""
    size = (trials[0].x.shape[2], trials[0].x.shape[3])
    try:
        found = Search(other, Variant(other.name), size, CHANNELS, search.theirs, {})
    except CaseFailed:
        return None
    for match in found.matches:
        one = found.check(Found(Candidate(), match), trials)
        if one is not None and one.around is None and not _left_over(found, match):
            return other.name
    return None
