"""A variant under the checks of `verify`: builds it, makes its input, compares results.

Maps are small: 2×64×16×16, or 2×64×14×14 for a module that refuses the first size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from attn_bench.catalog.registry import Entry
from attn_bench.model.case import Variant
from attn_bench.worker.attempt import CaseFailed, attempt
from attn_bench.worker.behaviour import check_module, check_result

BATCH, CHANNELS = 2, 64
SIZES = ((16, 16), (14, 14))  # the second for modules that split the map into blocks of 7
# The largest accepted differences, relative to the largest value. Rounding is far below them; a
# fault is far above.
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 0.05}

Size = tuple[int, int]


@dataclass(frozen=True)
class Specimen:
    """A variant under test. Every error and misbehaviour becomes a CaseFailed."""

    entry: Entry
    variant: Variant
    device: str

    def build(self, size: Size | None = None, seed: int = 0) -> nn.Module:
        """A module in evaluation with random weights, for maps of `size`.

        The default size is the first that the variant accepts.
        """
        feat_size = size or self.size
        extent, arguments = self.variant.at_stage(1), dict(self.variant.arguments)
        torch.manual_seed(seed)  # another seed makes the constructor draw other values
        made = attempt(
            "constructor", lambda: self.entry.build(CHANNELS, feat_size, extent, **arguments)
        )
        module = check_module(made)
        return attempt("eval", lambda: draw_weights(module, seed).to(self.device).eval())

    @cached_property
    def size(self) -> Size:
        """The first of SIZES that the variant accepts; the first of all if it accepts none."""
        for size in SIZES:
            try:
                self.forward(self.build(size), self.input(size))
            except CaseFailed:
                continue
            return size
        return SIZES[0]

    def input(self, size: Size | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """An input of standard normal values, the same in every call."""
        generator = torch.Generator().manual_seed(1)
        values = torch.randn(BATCH, CHANNELS, *(size or self.size), generator=generator)
        return values.to(self.device, dtype)

    def arguments(self) -> dict[str, Any]:
        """The arguments for a reference; a global extent is 0."""
        extent = self.variant.extent
        given = {} if extent is None else {"extent": 0 if extent == "global" else extent}
        return {**given, **dict(self.variant.arguments)}

    def forward(self, module: Callable[[Tensor], Any], x: Tensor, stage: str = "forward") -> Tensor:
        """The result of `module`: a finite tensor of the input's shape and dtype.

        Each call starts with the same random seed; only the check `repeats` detects randomness.
        """
        torch.manual_seed(0)
        return check_result(attempt(stage, lambda: module(x)), x, stage)


def draw_weights(module: nn.Module, seed: int) -> nn.Module:
    """Replace every weight and running statistic of `module` by random values; returns `module`.

    No value is 0 or 1, because these hide faults. Values are small, so that gates keep a slope.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            values = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                values = 0.5 + values.abs()
            elif tensor.dim() > 1:
                values /= max(1, tensor[0].numel()) ** 0.5
            else:
                values /= 2
            tensor.copy_(values)
    return module


def must_agree(
    what: str, got: Tensor, expected: Tensor, limits: Mapping[torch.dtype, float] = CLOSE
) -> None:
    """Raise CaseFailed if two results differ by more than rounding in the dtype of `got`."""
    exact = expected.detach().double()
    largest = float(exact.abs().max())
    apart = float((got.detach().double() - exact).abs().max())
    if not apart <= limits[got.dtype] * largest:
        part = f"{apart / (largest or 1):.2g} of the largest value"
        raise CaseFailed("failed", f"{what}: differs by {part}")
