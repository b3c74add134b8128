"""What the kernels of Gather-Excite share: their operators of PyTorch, layouts, and indices.

A kernel is a function `run(x, gradient, logits, extent)`. `define_excite` makes it an operator with
gradients that `torch.compile` keeps as one node of its graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Run = Callable[[Tensor, Tensor | None, Tensor | None, int], tuple[Tensor, Tensor]]
"""(x, gradient, logits, extent) to the output and an empty tensor where `gradient` is None, else to
the gradients of x and of the logits; without logits the gate is that of the window means of x."""


def define_excite(namespace: str, device: str, run: Run) -> Callable[..., Tensor]:
    """Register NAMESPACE::excite and its gradients for tensors on `device`, computed by `run`.

    namespace: unique to each version of the file that calls this. `check --against` loads two
    versions side by side, and the second one would replace an operator of the same name.
    """

    @torch.library.custom_op(f"{namespace}::excite", mutates_args=(), device_types=device)
    def excite(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
        out, _ = run(x, None, logits, extent)
        return out

    @torch.library.custom_op(f"{namespace}::excite_backward", mutates_args=(), device_types=device)
    def excite_backward(
        x: Tensor, gradient: Tensor, logits: Tensor | None, extent: int
    ) -> tuple[Tensor, Tensor]:
        return run(x, gradient, logits, extent)

    @excite.register_fake
    def _(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
        return empty_like(x)

    @excite_backward.register_fake
    def _(x: Tensor, gradient: Tensor, logits: Tensor | None, extent: int) -> tuple[Tensor, Tensor]:
        return empty_like(x), x.new_empty(0) if logits is None else empty_like(logits, x)

    def remember(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        x, logits, ctx.extent = inputs
        ctx.save_for_backward(x, logits)

    def gradients(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        x, logits = ctx.saved_tensors
        of_x, of_logits = excite_backward(x, gradient, logits, ctx.extent)
        return of_x, None if logits is None else of_logits, None

    def refuse(ctx, *gradients: Tensor):  # type: ignore[no-untyped-def]
        raise RuntimeError(
            "GatherExcite: the kernel has no second derivatives (impl='reference' has them)"
        )

    excite.register_autograd(gradients, setup_context=remember)
    excite_backward.register_autograd(refuse)
    return excite


def is_channels_last(x: Tensor) -> bool:
    """Whether `x` is channels_last and not contiguous. Kernels make other layouts contiguous."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def layout_of(x: Tensor) -> torch.memory_format:
    """The layout in which a kernel computes `x`."""
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format


def empty_like(x: Tensor, layout_from: Tensor | None = None) -> Tensor:
    """A new tensor of the shape of `x`, in the layout of `layout_from` or else of `x`."""
    layout = layout_of(x if layout_from is None else layout_from)
    return torch.empty_like(x, memory_format=layout)


def context_shape(x: Tensor, extent: int) -> tuple[int, int, int, int]:
    """(N, C, ⌈H/e⌉, ⌈W/e⌉) of the context of `x`; extent 0 is global."""
    batch, channels, height, width = x.shape
    if not extent:
        return batch, channels, 1, 1
    return batch, channels, -(-height // extent), -(-width // extent)


def clip_extent(x: Tensor, extent: int, logits: Tensor | None) -> int:
    """The extent that gives the same windows and is at most the longer side of `x`.

    Raises ValueError for logits of another shape than the context.
    """
    _, _, height, width = x.shape
    side = max(height, width, 1)
    extent = min(extent or side, side)
    if logits is not None and logits.shape != (expected := context_shape(x, extent)):
        raise ValueError(f"excite: logits of shape {tuple(logits.shape)}, not {expected}")
    return extent


@functools.lru_cache(maxsize=256)
def sources(height: int, width: int, extent: int) -> tuple[Tensor, Tensor]:
    """The row and the column of the gate of each element, with the rounding of F.interpolate."""

    def nearest(size: int) -> Tensor:
        gates = torch.arange(-(-size // extent), dtype=torch.float32, device="cpu")
        return F.interpolate(gates[None, None, :, None], size=(size, 1)).flatten().int()

    with torch.inference_mode(False), torch.no_grad():
        return nearest(height), nearest(width)
