"""Looks for the formula that a foreign class computes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from attn_bench.catalog.registry import Entry
from attn_bench.model.case import Variant
from attn_bench.worker.attempt import attempt
from attn_bench.worker.foreign.candidates import (
    AROUND,
    Candidate,
    Formula,
    right_ones,
    twice_wrong,
    wrong_ones,
)
from attn_bench.worker.foreign.mapping import (
    AFFINE,
    Dims,
    Match,
    State,
    Unit,
    check_fixed,
    dims_between,
    fixed_units,
    mapped_state,
    matches,
    units_of,
)

MOST_MATCHES, MOST_PAIRS = 400, 1500  # each is computed, in about a millisecond
# The largest accepted difference, as a part of the largest value.
CLOSE = {torch.float64: 1e-6, torch.float32: 1e-4}


@dataclass(frozen=True)
class Trial:
    """An input and what the class returned for it."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Found:
    """A candidate that gives what the class gives. around: a mistake in the result, or None."""

    candidate: Candidate
    match: Match
    is_filled: bool = False
    around: str | None = None


class Search:
    """The formula of a registered module, and a foreign module's tensors under its names.

    Raises CaseFailed if the registered module cannot be built, and RequestError for `pairs`.
    """

    def __init__(
        self,
        entry: Entry,
        variant: Variant,
        size: tuple[int, int],
        channels: int,
        theirs: State,
        pairs: Mapping[str, str],
    ) -> None:
        formula = entry.formula()
        assert formula is not None, entry.name
        self.formula: Formula = formula
        self.arguments = formula_arguments(formula, variant)
        extent, given = variant.at_stage(1), dict(variant.arguments)
        module = attempt(entry.name, lambda: entry.build(channels, size, extent, **given))
        self.ours: State = module.state_dict()
        self.theirs = theirs
        self.apart: float | None = None
        self.matches = [*islice(self._match(channels, pairs), MOST_MATCHES)]
        self._states: dict[tuple[int, bool], State] = {}

    def _match(self, channels: int, pairs: Mapping[str, str]) -> Iterator[Match]:
        every = units_of(self.ours)
        fixed, taken = fixed_units(every, self.theirs, pairs)
        ours = [unit for unit in every if all(unit != mine for mine, _ in fixed)]
        has_affine = any(unit.kind == "affine" for unit in every)
        left = {name: tensor for name, tensor in self.theirs.items() if name not in taken}
        theirs = units_of(left, AFFINE if has_affine else AFFINE[:1])
        for dims in dims_between(every, [*theirs, *(other for _, other in fixed)], channels):
            check_fixed(fixed, dims, self.ours, self.theirs)
            for match in matches(ours, theirs, dims):
                yield Match((*fixed, *match.pairs), match.dims)

    def find(self, trials: list[Trial]) -> Found | None:
        """The likeliest candidate; None if none gives what the class gives."""
        return (
            self._first(right_ones(self.formula), trials)
            or self._first(wrong_ones(self.formula), trials)
            or self._of_pairs(trials)
        )

    def _first(self, candidates: Iterable[Candidate], trials: list[Trial]) -> Found | None:
        """The first that is right; or else the first that is with a mistake in the result."""
        candidates, late = [*self._meant(candidates)], None
        for is_filled in (False, True):
            for candidate in candidates:
                for match in self.matches:
                    if is_filled and not match.missing:
                        continue
                    found = self.check(Found(candidate, match, is_filled), trials)
                    if found is not None and found.around is None:
                        return found
                    late = late or found
        return late

    def _meant(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Those that change no argument to what the user has given."""
        given = self.arguments.items()
        for one in candidates:
            if not any(name in one.changes and one.changes[name] == value for name, value in given):
                yield one

    def _of_pairs(self, trials: list[Trial]) -> Found | None:
        candidates = [*self._meant(twice_wrong(self.formula))]
        tries = (
            Found(candidate, match, bool(match.missing))
            for match in self.matches
            for candidate in candidates
        )
        late = None
        for one in islice(tries, MOST_PAIRS):
            found = self.check(one, trials)
            if found is not None and found.around is None:
                return found
            late = late or found
        return late

    def check(self, found: Found, trials: list[Trial]) -> Found | None:
        """`found` if it gives what the class gave in each trial, or with a mistake around it."""
        expected = [self.value(found, trial.x) for trial in trials]
        if expected[0] is None:
            return None
        known = [(value, t) for value, t in zip(expected, trials, strict=True) if value is not None]
        if not found.candidate.changes and self.apart is None:
            self.apart = difference(known[0][1].y, known[0][0])
        if all(are_close(trial.y, value) for value, trial in known):
            return found
        for words, undo in AROUND.items():
            if all(are_close(undo(t.x, t.y), value) for value, t in known):
                return Found(found.candidate, found.match, found.is_filled, words)
        return None

    def value(self, found: Found, x: Tensor) -> Tensor | None:
        """What the candidate gives; None if it needs a tensor that the class does not have."""
        try:
            state = self._state(found.match, is_filled=found.is_filled)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = self.formula(
                    x.double(), state, **{**self.arguments, **found.candidate.changes}
                )
        except (KeyError, IndexError, RuntimeError, ValueError):
            return None
        return value if isinstance(value, Tensor) else None

    def _state(self, match: Match, *, is_filled: bool) -> State:
        key = id(match), is_filled
        if key not in self._states:
            state = mapped_state(match, self.ours, self.theirs)
            if not is_filled:
                lacking = {name for unit in match.missing for name in unit.parts.values()}
                state = {name: tensor for name, tensor in state.items() if name not in lacking}
            self._states[key] = {name: tensor.double() for name, tensor in state.items()}
        return self._states[key]


def formula_arguments(formula: Formula, variant: Variant) -> dict[str, Any]:
    """The arguments of `variant` that the formula takes; a global extent is 0."""
    given = dict(variant.arguments)
    if variant.extent is not None:
        given["extent"] = 0 if variant.extent == "global" else variant.extent  # type: ignore[assignment]
    known = inspect.signature(formula).parameters
    return {name: value for name, value in given.items() if name in known}


def difference(got: Tensor, expected: Tensor) -> float | None:
    """The largest difference as a part of the largest value; None if the shapes differ."""
    if got.shape != expected.shape:
        return None
    largest = float(expected.abs().max())
    return float((got.double() - expected.double()).abs().max()) / (largest or 1)


def are_close(got: Tensor, expected: Tensor) -> bool:
    apart = difference(got, expected)
    return apart is not None and apart <= CLOSE[got.dtype]


def say_dims(dims: Dims, channels: int) -> Iterator[str]:
    """The widths and kernel sizes that differ. Two maps in place of one are no width."""
    for ours, theirs in dims.channels.items():
        if ours not in (theirs, 2):
            yield (
                f"{theirs} of {channels} channels inside, not {ours}: "
                f"the ratio is {_ratio(channels, theirs)}, not {_ratio(channels, ours)}"
            )
    for ours, theirs in dims.kernels.items():
        if ours != theirs:
            yield f"the kernel size is {theirs}, not {ours}"


def _ratio(channels: int, width: int) -> str:
    return f"1/{channels / width:g}"


def say_missing(units: Iterable[Unit]) -> Iterator[str]:
    names = [unit.name for unit in units if unit.kind == "norm"]
    if names:
        yield f"{'a norm is' if len(names) == 1 else 'norms are'} missing: {', '.join(names)}"
