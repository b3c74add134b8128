"""The interface of an execution, and how to open one by its name.

A new execution is a file in this folder, named like its value in `model/axes.py`. The row there
states its needs and its patience.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import metadata
from typing import Any

from torch import Tensor, nn

from attn_bench.model.axes import EXECUTION, Mode
from attn_bench.model.axes import Execution as ExecutionName
from attn_bench.model.case import Case
from attn_bench.worker.lookup import find_class

Forward = Callable[[Tensor], Any]


class Execution(ABC):
    """One way to execute a module."""

    def problem(self, case: Case) -> str | None:
        """Why it cannot execute `case`, which becomes `unsupported`; None if it can."""
        return None

    @abstractmethod
    def prepare(self, module: nn.Module, x: Tensor, mode: Mode) -> Forward:
        """A callable that computes `module` for inputs like `x`.

        It is prepared and called inside inference mode, or, in training, with gradients on.
        """


def open_execution(name: ExecutionName) -> Execution:
    """The execution called `name`."""
    return find_class(__package__, name, Execution)()  # type: ignore[type-abstract]


def find_problem(execution: Execution, case: Case) -> str | None:
    """Why this machine cannot execute `case`: a package is missing, or the execution cannot."""
    for package in EXECUTION[case.execution].needs:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return f"{case.execution} needs the package {package} (pip install {package})"
    return execution.problem(case)
