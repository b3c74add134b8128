"""Exports modules to ONNX, once for all workers of a run."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from attn_bench.model.case import Case
from attn_bench.model.errors import in_one_line

SUFFIX = ".onnx"
PLACE = re.compile(r'File "([^"]+)", line (\d+)')  # in the exporter's messages
TORCH = f"{os.sep}torch{os.sep}"


class ExportFailed(Exception):
    """The module cannot be exported; the message is the exporter's reason in one line."""


class Exports:
    """A folder of exported modules, one for each case whatever its runtime.

    An export takes a second or two, so the workers of a run share the folder.
    """

    def __init__(self, folder: str | None = None) -> None:
        """folder: an existing one; None makes one that lasts as long as this object."""
        self._own = None if folder else tempfile.TemporaryDirectory(prefix="attn-bench-")
        self._folder = Path(folder or self._own.name)  # type: ignore[union-attr]

    def onnx(self, module: nn.Module, x: Tensor, case: Case) -> Path:
        """The file of `module`, exported for inputs like `x` unless it is there already.

        The weights are those of the module that was exported first; all workers have the same.
        Raises ExportFailed.
        """
        key = case.in_eager.id.encode()
        file = self._folder / (hashlib.sha256(key).hexdigest()[:32] + SUFFIX)
        if file.exists():
            return file
        with tempfile.TemporaryDirectory(dir=self._folder) as half, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter about itself
            made = Path(half, file.name)
            try:
                torch.onnx.export(
                    module, (x,), made, dynamo=True, external_data=False, verbose=False
                )
            except Exception as error:  # the exporter runs the code of the user's module
                raise ExportFailed(_find_reason(error)) from error
            made.replace(file)
        return file


class Outputs:
    """The outputs that runtimes write to, shared by all cases of this process.

    For each shape there is one for each place of the input, since cases are called in turn.
    """

    def __init__(self) -> None:
        self._tensors: dict[tuple[tuple[int, ...], int], Tensor] = {}

    def get(self, shape: Sequence[int], x: Tensor) -> Tensor:
        """The output of that shape for the input `x` where it lies now."""
        key = (tuple(shape), x.data_ptr())
        if key not in self._tensors:
            self._tensors[key] = torch.empty(key[0], device=x.device)
        return self._tensors[key]


OUTPUTS = Outputs()


def count_nodes(types: Iterable[str]) -> str:
    """The number of nodes, and of each type.

    >>> count_nodes(["Conv", "Mul", "Conv"])
    '3 nodes (Conv 2, Mul)'
    """
    found = Counter(types)
    listed = (f"{name} {number}" if number > 1 else name for name, number in found.items())
    noun = "node" if found.total() == 1 else "nodes"
    return f"{found.total()} {noun} ({', '.join(sorted(listed))})"


def _find_reason(error: BaseException) -> str:
    """The first cause in one line, with its place in the user's code: the exporter wraps it."""
    told = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        told.append(str(error))
    places = [found for text in told for found in PLACE.findall(text) if TORCH not in found[0]]
    place = f" ({Path(places[-1][0]).name}:{places[-1][1]})" if places else ""
    return f"{in_one_line(error)}{place}"
