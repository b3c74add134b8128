"""The request for a run: one value from the command line or Python to the plan.

A field of `RunRequest` made by `option` is an option of the command line and a keyword of
`attn_bench.run`. Its type has its range, and its metadata its name, its unit and its help.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from itertools import chain
from math import inf, isfinite
from numbers import Real
from operator import index
from os import PathLike, fspath
from types import NoneType
from typing import (
    Annotated,
    Any,
    Literal,
    TypedDict,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Le

from attn_bench.model.axes import AUTO, DEVICE_CHOICES, Pages, is_offered
from attn_bench.model.bounds import MemoryGib, Precision, Seconds, Sessions, Threads
from attn_bench.model.errors import RequestError
from attn_bench.model.suite import Aim

TIMEOUT_S = 60.0
# A bound of a type, its attribute, and the field of `RunOption`.
BOUNDS = ((Ge, "ge", "least"), (Gt, "gt", "more_than"), (Le, "le", "most"))
OTHER_RULES = {str: "text", bool: "True or False", tuple: "a sequence of files"}
WHERE = "comparisons of columns, as in \"channels >= 256 and module in ['se', 'cbam']\""


def option(default: Any = MISSING, **facts: Any) -> Any:
    """A field of `RunRequest` that the user sets; `facts` are fields of `RunOption`."""
    return field(default=default, metadata={"option": facts})


@dataclass(frozen=True)
class RunRequest:
    """What to measure and how; None takes the value of the suite or the default.

    command: the words of the command line.
    aim: replaces the shapes and networks of the suite.
    most_ratio: a limit of the ratio; more time goes to cases that may lie on either side of it.
    """

    suite: str = option(metavar="NAME", help="A suite's name, or a TOML file.")
    device: str = option(AUTO, choices=DEVICE_CHOICES, help="'auto' takes a GPU if one exists.")
    modules: str | None = option(
        None, metavar="GLOB,…", help="Only these modules (and their baselines): 'ge_*,se'."
    )
    where: str | None = option(None, metavar="EXPR", help=f"Only these cases: {WHERE}.")
    modules_from: tuple[str, ...] = option(
        (),
        metavar="FILE.py",
        help="Your own modules: a file, a package's folder or a dotted name; may be repeated.",
    )
    budget_s: Seconds | None = option(
        None,
        name="budget",
        metavar="SECONDS",
        help="Time to measure; by default 2 s a case (check: 2 s a case and version).",
    )
    precision: Precision | None = option(
        None,
        metavar="PERCENT",
        per=100,
        help="A case is done when its time and ratio are known to ± this; 2 by default.",
    )
    sessions: Sessions | None = option(
        None,
        metavar="N",
        help="Worker processes to measure in; 5, or as many as the budget allows.",
    )
    out: str | None = option(
        None, metavar="DIR", help="The run folder, instead of a new one under ./results/."
    )
    seed: int = option(0, metavar="N", help="The seed of the order of measurement; 0.")
    threads: Threads | None = option(None, metavar="N", help="CPU threads; PyTorch's own default.")
    timeout_s: Seconds = option(
        TIMEOUT_S,
        name="timeout",
        metavar="SECONDS",
        help=f"Give up a case when one step of it takes longer; {TIMEOUT_S:g}.",
    )
    pages: Pages = option(
        "huge",
        choices=get_args(Pages),
        help="Memory in huge pages, which makes processes comparable, or as PyTorch leaves it.",
    )
    memory_gib: MemoryGib | None = option(
        None,
        name="memory",
        metavar="GIB",
        help="The most memory that a worker may take; nine tenths of the free memory.",
    )
    wait: bool = option(False, help="Wait for another run on this machine to end.")
    quick: bool = option(False, only="run", help="Use a fifth of the time, for a first look.")
    command: tuple[str, ...] = ()
    aim: Aim | None = None
    most_ratio: float | None = None


class RunKeywords(TypedDict, total=False):
    """The settings as keywords of `attn_bench.run`, for editors and type checkers.

    These tools cannot derive them from `RunRequest`, so a test keeps the two equal.
    """

    device: str
    modules: str | None
    where: str | None
    modules_from: Sequence[str | PathLike[str]]
    budget: float | None
    precision: float | None
    sessions: int | None
    out: str | PathLike[str] | None
    seed: int
    threads: int | None
    timeout: float
    pages: Pages
    memory: float | None
    wait: bool
    quick: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOption:
    """The facts of one option of a run, as the command line and Python read them.

    field: the name of the field of `RunRequest`.
    name: the name of the option and of the keyword.
    kind: str, int, float, bool, or tuple for several words.
    default: MISSING if the option is required.
    choices: the only valid values; empty if any value is valid.
    least, more_than, most: the range of a number.
    per: the number is divided by this to get the field; 100 for percent.
    only: the one command that has the option; None for every command that measures a suite.
    """

    field: str
    name: str
    kind: type
    default: Any
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    more_than: float | None = None
    most: float | None = None
    per: float = 1
    only: str | None = None

    @property
    def rule(self) -> str:
        """What a valid value is, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind not in (int, float):
            return OTHER_RULES[self.kind]
        words = ["an integer" if self.kind is int else "a number"]
        bounds = (("from", self.least), ("above", self.more_than), ("up to", self.most))
        words += [f"{word} {bound:.12g}" for word, bound in bounds if bound is not None]
        if self.metavar not in (None, "N"):
            words.append(f"({self.metavar})")
        return " ".join(words)

    def read(self, value: Any) -> Any:
        """The field's value from the value of the option.

        Raises RequestError if it breaks the rule.
        """
        if value is None and self.default is None:
            return None
        try:
            found = self._convert(value)
        except (TypeError, ValueError):
            found = None
        if found is None:
            raise RequestError(f"{self.name}={value!r}: must be {self.rule}")
        return found

    def _convert(self, value: Any) -> Any:
        """The converted value. None or an error means that the value breaks the rule."""
        if self.kind is bool:
            return value if isinstance(value, bool) else None
        if self.kind is tuple:
            return None if isinstance(value, str) else tuple(fspath(file) for file in value)
        if self.kind is str:
            text = fspath(value)
            fits = isinstance(text, str) and (not self.choices or is_offered(text, self.choices))
            return text if fits else None
        if isinstance(value, bool) or not isinstance(value, Real):
            return None
        number = float(value) if self.kind is float else index(cast("int", value))
        return self._scale(number) if self._holds(number) else None

    def _holds(self, number: float) -> bool:
        least = -inf if self.least is None else self.least
        more_than = -inf if self.more_than is None else self.more_than
        most = inf if self.most is None else self.most
        # A whole number may be larger than any float, and is finite.
        is_finite = isinstance(number, int) or isfinite(number)
        return is_finite and least <= number <= most and more_than < number

    def _scale(self, number: float) -> float:
        return number if self.per == 1 else number / self.per


def _options() -> Iterator[RunOption]:
    types = get_type_hints(RunRequest, include_extras=True)
    for item in fields(RunRequest):
        if "option" in item.metadata:
            facts = {"name": item.name, **item.metadata["option"]}
            kind, bounds = _kind_and_bounds(types[item.name], facts.get("per", 1))
            yield RunOption(field=item.name, kind=kind, default=item.default, **bounds, **facts)


def _kind_and_bounds(annotation: Any, per: float) -> tuple[type, dict[str, Any]]:
    """The type of a field's value, and the bounds of the option in its own unit.

    >>> _kind_and_bounds(Seconds | None, 1)
    (<class 'float'>, {'more_than': 0, 'most': 10000000.0})
    """
    if get_origin(annotation) is tuple:
        return tuple, {}
    if get_origin(annotation) is Literal:
        return str, {}
    if get_origin(annotation) is Annotated:
        kind, *bounds = get_args(annotation)
        return kind, {
            name: getattr(bound, attribute) * per
            for bound in bounds
            for of, attribute, name in BOUNDS
            if isinstance(bound, of)
        }
    (inner,) = [one for one in get_args(annotation) or (annotation,) if one is not NoneType]
    return (inner, {}) if inner is annotation else _kind_and_bounds(inner, per)


# Every option by its name, in the order of `--help`.
RUN_OPTIONS: Mapping[str, RunOption] = {found.name: found for found in _options()}


def make_request(given: Mapping[str, Any], command: Sequence[str]) -> RunRequest:
    """A request from the values of options by name.

    Raises RequestError for a value that breaks its rule.
    """
    values = {RUN_OPTIONS[name].field: RUN_OPTIONS[name].read(given[name]) for name in given}
    return RunRequest(**values, command=tuple(command))


def check_request(request: RunRequest) -> None:
    """Raise RequestError if a stored request holds a value that its option would refuse."""
    for option in RUN_OPTIONS.values():
        value = getattr(request, option.field)
        if value is not None and option.kind in (int, float):
            option.read(value * option.per)


def show_resume(path: str | PathLike[str], modules_from: Sequence[str]) -> str:
    """The command that resumes a run, as a shell takes it.

    >>> show_resume("my run", ["my_attn.py"])
    "attn-bench run --resume 'my run' --modules-from my_attn.py"
    """
    words = ["attn-bench", "run", "--resume", fspath(path)]
    return shlex.join([*words, *chain.from_iterable(("--modules-from", w) for w in modules_from)])
