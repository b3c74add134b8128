"""Counts the arithmetic of a forward pass, including work that fvcore does not count.

`macs_fvcore` is the exact total of fvcore. It ignores pooling by `mean`, gates, activations and
softmax, and it mixes multiply-accumulates with BatchNorm's operations. The handles of
`worker/counts` split the work of the same trace in two:

- `macs`: multiply-accumulates of convolutions and matrix products, nothing else; unknown if an
  operator that may multiply was not counted;
- `elementwise_ops`: one for each result of an elementwise function (sigmoid and exp included), one
  for each element that a reduction or a pooling window reads, BatchNorm's two (five in training).

Copies and views are not arithmetic. `uncounted` names every operator without a count.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

# fvcore's public analyses of these would each trace the module again.
from fvcore.nn.activation_count import _DEFAULT_SUPPORTED_OPS as FVCORE_ACTIVATIONS
from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS as FVCORE_FLOPS
from fvcore.nn.jit_analysis import _IGNORED_OPS as FVCORE_IGNORED
from torch import Tensor, nn

from attn_bench.model.errors import in_one_line
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.called import CalledCase
from attn_bench.worker.counts.handles import HANDLES
from attn_bench.worker.counts.multiplies import BOOKKEEPING, is_view, may_multiply
from attn_bench.worker.counts.traced import ATEN, MACS, OPS

FLOPS, ACTIVATIONS = "macs_fvcore", "activations"
FVCORE: Mapping[str, Mapping[str, Callable[..., Any] | None]] = {
    FLOPS: FVCORE_FLOPS,
    ACTIVATIONS: FVCORE_ACTIVATIONS,
}
# The result has the form of the input, and none of its values.
WITHOUT_VALUES = {
    f"{ATEN}{name}"
    for name in (
        "empty_like",
        "new_empty",
        "zeros_like",
        "new_zeros",
        "ones_like",
        "new_ones",
        "size",
    )
}
UNSEEN = "what the trace does not see"
IGNORED = FVCORE_IGNORED | {f"prim::{name}" for name in BOOKKEEPING}


@dataclass(frozen=True, slots=True)
class Work:
    """The arithmetic of one forward pass of the whole batch.

    macs_fvcore, activations: None if a handle of fvcore raises, as its analysis then does.
    macs: None if an operator that may multiply was not counted.
    operations: operator ("convolution", "mul") -> its part of `macs` and `elementwise_ops`.
    uncounted: operator -> number of calls.
    notes: why a count is unknown or incomplete; each names the operator.
    """

    macs_fvcore: int | None
    macs: int | None
    elementwise_ops: int
    activations: int | None
    operations: Mapping[str, int]
    uncounted: Mapping[str, int]
    notes: tuple[str, ...]


def measure(called: CalledCase) -> Mapping[str, Any]:
    """Measure the work, or note why it cannot be counted."""
    built = called.built
    try:
        counted = attempt("counting", lambda: count_work(built.module, built.x.detach()))
    except CaseFailed as failed:
        return {"notes": (str(failed),)}
    return asdict(counted)


def count_work(module: nn.Module, x: Tensor) -> Work:
    """Count the forward pass of `module` on `x` (N, C, H, W), by tracing it.

    Raises the error of the tracer if the module cannot be traced.
    """
    with torch.no_grad(), _quiet_tracer(), _without_fused_attention():
        graph, _ = torch.jit._get_trace_graph(module, (x,))  # type: ignore[attr-defined,no-untyped-call]
    tally = _Tally()
    for node in graph.nodes():
        tally.add(_name(node), list(node.inputs()), list(node.outputs()))
    if not _is_connected(graph):
        tally.uncounted[UNSEEN] += 1
    return tally.work()


def _is_connected(graph: Any) -> bool:
    """Whether the traced operators lead from the input to the result.

    They do not where a compiled function or NumPy fills it, which a trace cannot see.
    """
    reached = {next(graph.inputs()).debugName()}
    for node in graph.nodes():
        if node.kind() in WITHOUT_VALUES:
            continue
        if any(value.debugName() in reached for value in node.inputs()):
            reached.update(value.debugName() for value in node.outputs())
            if node.kind().endswith("_"):  # it also writes to its first input, or what that is of
                reached.update(_viewed(next(node.inputs())))
    return all(value.debugName() in reached for value in graph.outputs())


def _viewed(value: Any) -> Iterator[str]:
    """The name of a value, and of those that it is a view of."""
    yield value.debugName()
    while is_view(value.node().kind()):
        value = next(value.node().inputs())
        yield value.debugName()


@dataclass
class _Tally:
    """The counts so far.

    failed: operator -> the error of our handle; theirs: metric -> operator -> that of fvcore's.
    """

    totals: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, dict[str, str]] = field(default_factory=lambda: {FLOPS: {}, ACTIVATIONS: {}})

    def add(self, kind: str, inputs: list[Any], outputs: list[Any]) -> None:
        """Add an operator. An error of its handle leaves the counts of all others alone."""
        handle = HANDLES.get(kind)
        try:
            if handle is not None:
                self._add_ours(kind, handle(inputs, outputs))
            elif kind not in IGNORED and not is_view(kind):
                self.uncounted[kind] += 1
        except Exception as error:  # a handle meets operators of any form
            self.failed.setdefault(kind, in_one_line(error))
            self.uncounted[kind] += 1
        for metric, handles in FVCORE.items():
            theirs = handles.get(kind)
            if theirs is None:
                continue
            try:
                found = theirs(inputs, outputs)
            except Exception as error:  # likewise
                self.theirs[metric].setdefault(kind, in_one_line(error))
            else:
                total = sum(found.values()) if isinstance(found, Counter) else found
                self.totals[metric] += int(total)

    def _add_ours(self, kind: str, counted: Counter[str]) -> None:
        self.totals.update(counted)
        if total := counted[MACS] + counted[OPS]:
            self.operations[kind.removeprefix(ATEN).strip("_")] += total

    def work(self) -> Work:
        multiplying = [kind for kind in self.uncounted if may_multiply(kind)]
        return Work(
            macs_fvcore=None if self.theirs[FLOPS] else self.totals[FLOPS],
            macs=None if multiplying else self.totals[MACS],
            elementwise_ops=self.totals[OPS],
            activations=None if self.theirs[ACTIVATIONS] else self.totals[ACTIVATIONS],
            operations=dict(self.operations),
            uncounted=dict(self.uncounted),
            notes=(*self._ours_in_words(multiplying), *self._theirs_in_words()),
        )

    def _ours_in_words(self, multiplying: list[str]) -> Iterator[str]:
        for kind in self.uncounted:
            error = self.failed.get(kind)
            if kind in multiplying:
                why = "has no count" if error is None else f"could not be counted: {error}"
                yield f"{MACS} is unknown: {kind} may multiply and {why}"
            elif error is not None:
                yield f"{OPS} leaves out {kind}, which could not be counted: {error}"

    def _theirs_in_words(self) -> Iterator[str]:
        for metric, errors in self.theirs.items():
            for kind, error in errors.items():
                yield f"{metric} is unknown: fvcore cannot count {kind}: {error}"


def _name(node: Any) -> str:
    """The operator of a node; for a Python or a scripted function, with the function's name."""
    kind: str = node.kind()
    if kind == "prim::PythonOp":
        return f"{kind} ({node.pyname()})"
    if kind == "prim::CallFunction":
        return f"{kind} ({next(node.inputs()).node().s('name')})"
    return kind


@contextmanager
def _quiet_tracer() -> Iterator[None]:
    """Silence the tracer: torch.jit's warnings are irrelevant here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _without_fused_attention() -> Iterator[None]:
    """Trace nn.MultiheadAttention and its kin by their layers, in inference as in training.

    In inference PyTorch has one operator for all of their work, which nobody counts.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
