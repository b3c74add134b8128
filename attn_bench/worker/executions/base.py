"""The interface of an execution, and how to open one by its name.

A new execution is a file in this folder, named like its value in `model/axes.py`. The row there
states its needs and its patience.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, ClassVar

from torch import Tensor, nn

from attn_bench.model.axes import EXECUTION
from attn_bench.model.axes import Execution as ExecutionName
from attn_bench.model.case import Case
from attn_bench.worker.exports import Exports
from attn_bench.worker.lookup import find_class

Forward = Callable[[Tensor], Any]
OPTION = ":"  # between the name of an execution and its option


class Execution(ABC):
    """One way to execute modules.

    kept_maps: how much memory it keeps for each case, as a multiple of the input.
    option: what follows the colon in its name; empty without one.
    exports: exported modules, which all workers of a run share.
    """

    kept_maps: ClassVar[int] = 0

    def __init__(self, option: str, exports: Exports) -> None:
        self.option = option
        self.exports = exports

    def problem(self, case: Case) -> str | None:
        """Why it cannot execute `case`, which becomes `unsupported`; None if it can."""
        return None

    @abstractmethod
    def prepare(self, module: nn.Module, x: Tensor, case: Case) -> Forward:
        """A callable that computes `module` for inputs like `x` (N, C, H, W).

        It is prepared and called inside inference mode, or, in training, with gradients on. While
        it is prepared, new threads may use every core. Its
        result may be overwritten by the next call.
        """

    def describe(self, forward: Forward) -> Sequence[str]:
        """What a reader should know of what `prepare` made: what the runtime fused, for example."""
        return ()


def open_execution(name: ExecutionName, exports: Exports | None = None) -> Execution:
    """The execution called `name`."""
    file, _, option = name.partition(OPTION)
    found = find_class(__package__, file, Execution)  # type: ignore[type-abstract]
    return found(option, exports or Exports())


def find_problem(execution: Execution, case: Case) -> str | None:
    """Why this machine cannot execute `case`: a package is missing, or the execution cannot."""
    name, facts = case.execution, EXECUTION[case.execution]
    for package in facts.needs:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return f"{name} needs the package {package}: pip install 'attn-bench[{name}]'"
    if facts.exported and (problem := _not_exported(case)):
        return problem
    return execution.problem(case)


def _not_exported(case: Case) -> str | None:
    """Why a case is not executed outside of PyTorch."""
    if case.mode == "training":
        return f"{case.execution} executes inference only"
    if case.dtype != "float32" or case.memory_format != "contiguous":
        return f"{case.execution} takes contiguous float32 here"
    return None
