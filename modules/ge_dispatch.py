"""Which code computes one call of Gather-Excite: a kernel, PyTorch's operators, or both in turn.

All paths give the same result within rounding. `choose` takes the fastest one that supports the
input: the tables of docs/gather_excite.md hold the measurements behind the rules below.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Literal, NamedTuple, Protocol

import torch
import torch.autograd.forward_ad as forward_ad
from timm.layers.activations import Sigmoid
from torch import Tensor, nn

from . import ge_cpu
from .ge_gathers import DepthwiseGather, GlobalDepthwiseGather, PooledGather
from .ge_ops import is_channels_last

Impl = Literal["auto", "kernel", "reference"]
SIGMOIDS = (nn.Sigmoid, Sigmoid)
LEARNED = (DepthwiseGather, GlobalDepthwiseGather)
CUDA_BY_DEFAULT = False  # until `ge_cuda` has been measured on a GPU: benchmarks/ge_cuda.py
TINY = 64  # elements of a map: at 7×7 the operators' global extent is as fast as the kernel


class Path(NamedTuple):
    """The steps of one call. Where `fused` is given, it does the work of the three others."""

    gather: Callable[[Tensor], Tensor]  # x to the context
    mlp: Callable[[Tensor], Tensor]  # the context to the logits of the gate
    excite: Callable[[Tensor, Tensor], Tensor]  # x and the logits to x ⊙ interp(σ(logits))
    fused: Callable[[Tensor], Tensor] | None = None  # x to the output


class Parts(Protocol):
    """What a choice depends on: the parts of a `GatherExcite`."""

    gather: nn.Module
    gather_act: nn.Module
    mlp: nn.Module
    gate: nn.Module
    extent: int
    impl: Impl

    def excite(self, x: Tensor, logits: Tensor) -> Tensor: ...


def choose(module: Parts, x: Tensor) -> Path:
    """The path of `module` for the input `x`.

    Raises ValueError where `module.impl` is "kernel" and no kernel supports `x`.
    """
    gather, mlp, extent = module.gather, module.mlp, module.extent
    kernels = _kernels(module, gather, x)
    if kernels is None:
        return Path(gather, mlp, module.excite)
    if kernels is ge_cpu and isinstance(gather, LEARNED):
        return _learned_path(module, gather, x)
    if _is_tiny(module, x) and not _is_by_rows(module, x):
        return Path(gather, mlp, module.excite)

    def excite(x: Tensor, logits: Tensor | None = None) -> Tensor:
        y: Tensor = kernels.excite(x, logits, extent)
        return y

    return Path(gather, mlp, excite, excite if _is_mean_alone(module) else None)


def _learned_path(module: Parts, gather: nn.Sequential, x: Tensor) -> Path:
    """The path of GE-θ or GE-θ⁺ on a CPU: the kernel gathers too where nothing prevents it."""
    mlp, extent = module.mlp, module.extent
    steps = None if _is_slow(module, x) else ge_cpu.steps_of(gather, x, extent)
    if steps is not None and _is_gather_alone(module):
        return Path(gather, mlp, module.excite, lambda x: ge_cpu.gather_excite(x, steps, extent))

    def excite(x: Tensor, logits: Tensor) -> Tensor:
        return ge_cpu.excite(x, logits, extent)

    if steps is None:
        is_global = isinstance(gather, GlobalDepthwiseGather)
        by_layers = (lambda x: ge_cpu.global_gather(gather, x)) if is_global else gather
        return Path(by_layers, mlp, module.excite if _is_tiny(module, x) else excite)
    return Path(
        lambda x: ge_cpu.gather(x, steps, extent),
        lambda context: ge_cpu.mlp(mlp, context),
        excite,
    )


def _kernels(module: Parts, gather: nn.Module, x: Tensor) -> ModuleType | None:
    """The file of kernels that supports `x`; None where PyTorch's operators compute all of it."""
    impl = module.impl
    if impl == "reference":
        return None
    if impl == "auto":
        if isinstance(gather, PooledGather) and _is_for_operators(module, x):
            return None
        if x.is_cuda and not CUDA_BY_DEFAULT:
            return None
    kernels = kernels_for(x)
    reason = _why_not(module, kernels, x)
    if impl == "kernel" and reason:
        raise ValueError(f"GatherExcite with impl='kernel': {reason} (impl='auto'?)")
    return None if reason else kernels


def kernels_for(x: Tensor) -> ModuleType | None:
    """The file of kernels for the device of `x`; None for CUDA without Triton.

    Triton is imported only when a CUDA tensor needs it.
    """
    if not x.is_cuda:
        return ge_cpu
    try:
        from . import ge_cuda
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        return None
    return ge_cuda


def _why_not(module: Parts, kernels: ModuleType | None, x: Tensor) -> str | None:
    """Why no kernel can compute this call; None where one can.

    An exported or traced graph must run on any machine, so it contains no kernel.
    """
    if not isinstance(module.gate, SIGMOIDS):
        return f"the gate is {type(module.gate).__name__}, and the kernels compute a sigmoid"
    is_traced = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    if is_traced or torch.compiler.is_exporting():
        return "an exported or traced graph contains PyTorch's operators only"
    if _is_transformed():
        return "transforms of torch.func and forward-mode derivatives need PyTorch's operators"
    if kernels is None:
        return "Triton is not installed"
    if not kernels.suits(x):
        dtype = str(x.dtype).removeprefix("torch.")
        return f"no kernel supports {dtype} {tuple(x.shape)} on {x.device}"
    return None


def _is_transformed() -> bool:
    """Whether a transform is active for which a kernel has no rule: jvp would get zeros from it."""
    is_functional = torch._C._functorch.maybe_current_level() is not None
    return is_functional or forward_ad._current_level >= 0


def _is_gather_alone(module: Parts) -> bool:
    """Whether nothing stands between the gather and the gate."""
    return isinstance(module.mlp, nn.Identity) and isinstance(module.gather_act, nn.Identity)


def _is_mean_alone(module: Parts) -> bool:
    """Whether the gate is that of the window means themselves."""
    gather = module.gather
    is_mean = isinstance(gather, PooledGather) and not gather.add_maxpool
    return is_mean and _is_gather_alone(module)


def _is_by_rows(module: Parts, x: Tensor) -> bool:
    """Whether the kernel computes a row of `x` at once, which is faster on tiny maps, too."""
    has_gradient = torch.is_grad_enabled() and x.requires_grad
    return _is_mean_alone(module) and not (x.is_cuda or has_gradient) and ge_cpu.is_by_rows(x)


def _is_tiny(module: Parts, x: Tensor) -> bool:
    """Whether a call of the kernel costs more than it saves."""
    return module.impl == "auto" and not module.extent and x.shape[-2] * x.shape[-1] < TINY


def _is_slow(module: Parts, x: Tensor) -> bool:
    """Whether the layers gather faster: at 7×7 in bfloat16, except for GE-θ with an extent."""
    is_small = x.shape[-2] * x.shape[-1] < TINY and x.dtype != torch.float32
    if not is_small or module.impl != "auto" or not x.is_contiguous():
        return False
    return not (module.extent and _is_gather_alone(module))


def _is_for_operators(module: Parts, x: Tensor) -> bool:
    """Whether PyTorch's mean and product are as fast: on tiny maps and in channels_last."""
    is_global_on_cpu = not module.extent and not x.is_cuda
    if _is_tiny(module, x):
        return not _is_by_rows(module, x)
    return is_global_on_cpu and is_channels_last(x)
