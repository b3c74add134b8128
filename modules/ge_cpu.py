"""Gather-Excite's kernel for CPUs: `ge_cpu.cpp`, called through ctypes.

excite         x ⊙ interp(σ(logits)). Without logits, the window means of x take their place. It has
               gradients, works under `torch.compile`, and reads and writes x once.
gather         the context of a gather by convolutions; inference only.
gather_excite  x gated by that context; inference only.

`is_available` is false where no C++ compiler with OpenMP is found. Set CXX to choose one.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.layers.mlp import ConvMlp
from torch import Tensor, nn
from torch.nn.modules import module as nn_module

from . import ge_ops
from .ge_build import load_library

# Two versions of this file may be loaded side by side: each needs separate operators.
NAMESPACE = __name__.replace(".", "_")
DTYPES = (torch.float32, torch.bfloat16)
NARROW = 8  # columns: narrower maps are computed side by side, except for the global extent
MAX_PIXELS = 2**17  # side by side: a tile of 16 channels of a larger map does not fit a cache
FEW = 8  # positions of a context: one product for all samples is then faster than one for each
LANES, STEP, PART = 16, 8, 1024  # as in ge_cpu.cpp
WIDEST = {"AVX512": LANES, "AVX2": STEP}.get(torch.backends.cpu.get_cpu_capability(), 0)
SMALL = 2**15  # elements: a second thread does not pay for smaller inputs


class Steps(NamedTuple):
    """The convolutions and norms of a gather, as plain tensors."""

    tensors: list[Tensor]  # for each step: weight, then the norm's weight, bias, mean, variance
    eps: list[float]  # one for each norm; empty without norms


def suits(x: Tensor) -> bool:
    """Whether the kernel is available and supports `x`."""
    if x.device.type != "cpu" or x.dtype not in DTYPES or x.dim() != 4:
        return False
    is_large = x.shape[2] * x.shape[3] > MAX_PIXELS
    return not (is_large and ge_ops.is_channels_last(x)) and is_available()


def is_by_rows(x: Tensor) -> bool:
    """Whether the forward with the mean of each map computes a row at once."""
    height, width = x.shape[2:]
    is_narrow = width < WIDEST and LANES <= height * width <= PART
    return is_narrow and x.dtype == torch.float32 and not ge_ops.is_channels_last(x)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # once for each compiled graph
def is_available() -> bool:
    return load_library() is not None


def excite(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
    """N×C×H×W, and N×C×h×w or None, to N×C×H×W in the layout of x; extent 0 is global."""
    y: Tensor = _excite(x, logits, extent)
    return y


def steps_of(layers: nn.Sequential, x: Tensor, extent: int) -> Steps | None:
    """The steps of a gather; None where its layers must be called instead.

    They must be called where a gradient is needed, where autocast chooses the types, and where a
    hook waits for a call. So must norms that use the statistics of the batch, and norms that
    cannot be folded into a scale and a shift.
    """
    modules = list(layers)
    count = extent.bit_length() - 1 if extent else 1
    kinds = [type(module) for module in modules]
    with_norms = kinds == ([nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * count)[:-1]
    if not with_norms and kinds != [nn.Conv2d, nn.ReLU] * (count - 1) + [nn.Conv2d]:
        return None
    if torch.is_autocast_enabled("cpu") or not x.numel() or _is_hooked(layers, *modules):
        return None
    steps = Steps([], [])
    for module in modules:
        if isinstance(module, nn.Conv2d):
            if not _is_step(module, x, extent):
                return None
            steps.tensors.append(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            tensors = module.weight, module.bias, module.running_mean, module.running_var
            if module.training or any(tensor is None for tensor in tensors):
                return None
            steps.tensors.extend(tensor for tensor in tensors if tensor is not None)
            steps.eps.append(module.eps)
    dtypes, device = (x.dtype, torch.float32), x.device
    for tensor in steps.tensors:
        if tensor.dtype not in dtypes or tensor.device != device:
            return None
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *steps.tensors)):
        return None
    return steps


def global_gather(layers: nn.Sequential, x: Tensor) -> Tensor:
    """The global gather with gradients: N×C×H×W to N×C×1×1.

    In float32 a product and a sum replace its convolution: PyTorch's convolution takes 2 to 10
    times as long, forward and backward. In bfloat16 they would round each product, so the
    convolution stays.
    """
    conv, *rest = layers
    is_float = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    is_free = is_float and torch.is_grad_enabled() and not _is_hooked(layers, conv)
    if not is_free or type(conv) is not nn.Conv2d or not _is_step(conv, x, 0):
        return layers(x)  # type: ignore[no-any-return]
    context = (x * conv.weight.squeeze(1)).sum((2, 3), keepdim=True)
    for layer in rest:
        context = layer(context)
    return context


def _is_step(conv: nn.Conv2d, x: Tensor, extent: int) -> bool:
    """Whether `conv` is the depthwise convolution that the kernel computes."""
    size, stride, padding = ((3, 3), 2, 1) if extent else (tuple(x.shape[2:]), 1, 0)
    return (
        conv.weight.shape == (x.shape[1], 1, *size)
        and conv.weight.dtype == x.dtype
        and conv.bias is None
        and conv.stride == (stride, stride)
        and conv.padding == (padding, padding)
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
    )


def _is_hooked(*modules: nn.Module) -> bool:
    """Whether a hook waits for a call of one of `modules`: a counter of work, for example."""
    hooks = [nn_module._global_forward_hooks, nn_module._global_forward_pre_hooks]
    for module in modules:
        hooks += [module._forward_hooks, module._forward_pre_hooks]
    return any(hooks)


def gather(x: Tensor, steps: Steps, extent: int) -> Tensor:
    """N×C×H×W to the context, N×C×⌈H/e⌉×⌈W/e⌉; N×C×1×1 for extent 0, which is global."""
    context: Tensor = _gather(x, *steps, extent)
    return context


def gather_excite(x: Tensor, steps: Steps, extent: int) -> Tensor:
    """x ⊙ interp(σ(gather(x))): N×C×H×W to the same, in the layout of x."""
    y: Tensor = _gather_excite(x, *steps, extent)
    return y


def mlp(layers: nn.Module, context: Tensor) -> Tensor:
    """timm's ConvMlp, N×C×h×w to the same, by products of matrices.

    They take 0.3 to 0.9 times as long as 1×1 convolutions, which reorder input and weights.
    """
    match list(layers.children()):
        case [one, nn.Identity(), act, nn.Dropout(p=0.0), other] if type(layers) is ConvMlp:
            if _is_product(one) and _is_product(other) and not _is_hooked(*layers.modules()):
                return _product(act(_product(context, one)), other)
    logits: Tensor = layers(context)
    return logits


def _is_product(layer: nn.Module) -> bool:
    """Whether `layer` multiplies each position by a matrix and adds a bias."""
    if type(layer) is not nn.Conv2d or layer.bias is None:
        return False
    return layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.groups == 1


def _product(x: Tensor, conv: nn.Module) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    weight, bias = conv.weight.flatten(1), conv.bias
    if x.shape[2] * x.shape[3] < FEW or ge_ops.layout_of(x) == torch.channels_last:
        return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)
    if bias is None or x.dtype != torch.float32:  # in bfloat16 the convolution is faster
        return conv(x)  # type: ignore[no-any-return]
    y: Tensor = torch.baddbmm(bias[:, None], weight.expand(len(x), -1, -1), x.flatten(2))
    return y.view(len(x), -1, *x.shape[2:])


@torch.library.custom_op(f"{NAMESPACE}::gather", mutates_args=(), device_types="cpu")
def _gather(x: Tensor, tensors: list[Tensor], eps: list[float], extent: int) -> Tensor:
    _, context = _run(x, None, None, extent, Steps(tensors, eps), is_gated=False)
    return context


@torch.library.custom_op(f"{NAMESPACE}::gather_excite", mutates_args=(), device_types="cpu")
def _gather_excite(x: Tensor, tensors: list[Tensor], eps: list[float], extent: int) -> Tensor:
    out, _ = _run(x, None, None, extent, Steps(tensors, eps))
    return out


@_gather.register_fake
def _(x: Tensor, tensors: list[Tensor], eps: list[float], extent: int) -> Tensor:
    return _empty_context(x, extent)


@_gather_excite.register_fake
def _(x: Tensor, tensors: list[Tensor], eps: list[float], extent: int) -> Tensor:
    return ge_ops.empty_like(x)


def _empty_context(x: Tensor, extent: int) -> Tensor:
    shape, layout = ge_ops.context_shape(x, extent), ge_ops.layout_of(x)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


def _run(
    x: Tensor,
    gradient: Tensor | None,
    logits: Tensor | None,
    extent: int,
    steps: Steps | None = None,
    is_gated: bool = True,
) -> tuple[Tensor, Tensor]:
    """As `ge_ops.Run`. With `steps` the gate is that of their context instead of the means.

    With `is_gated` false there is no output, and the second tensor is the context.
    """
    layout = ge_ops.layout_of(x)
    x = x.contiguous(memory_format=layout)
    slope = x.new_empty(0) if is_gated else _empty_context(x, extent)
    out = torch.empty_like(x, memory_format=layout) if is_gated else x.new_empty(0)
    if gradient is not None:
        gradient = gradient.to(x.dtype).contiguous(memory_format=layout)
    clipped = ge_ops.clip_extent(x, extent, logits)
    given = logits
    if logits is not None:
        logits = logits.to(x.dtype).contiguous(memory_format=layout)
        if gradient is not None:
            slope = torch.empty_like(logits, memory_format=layout)
    if x.numel():
        _call((x, gradient, logits, out, slope), layout, clipped, not extent, steps)
    return out, slope if given is None else slope.to(given.dtype)


def _call(
    tensors: tuple[Tensor, Tensor | None, Tensor | None, Tensor, Tensor],
    layout: torch.memory_format,
    extent: int,
    is_global: bool,
    steps: Steps | None,
) -> None:
    """Call the kernel on x, gradient, logits, out and slope, all of one layout and dtype."""
    library, x = load_library(), tensors[0]
    assert library is not None
    batch, channels, height, width = x.shape
    is_narrow = width < NARROW and height * width <= MAX_PIXELS
    has_one_gate = is_global if steps else extent >= max(height, width)
    of_steps, eps = _for_kernel(steps)
    library.gather_excite(
        *(_pointer(tensor) for tensor in tensors),
        *(ctypes.c_long(size) for size in (batch, channels, height, width, extent)),
        *(_pointer(indices) for indices in ge_ops.sources(height, width, extent)),
        int(x.dtype == torch.bfloat16),
        int(layout == torch.channels_last),
        int(is_narrow and not has_one_gate),
        torch.get_num_threads() if x.numel() >= SMALL else 1,
        (ctypes.c_void_p * len(of_steps))(*(_pointer(tensor) for tensor in of_steps)),
        (ctypes.c_float * len(eps))(*eps),
        ctypes.c_long(len(eps)),
        int(is_global),
    )


def _for_kernel(steps: Steps | None) -> tuple[list[Tensor | None], list[float]]:
    """Five float32 tensors for each step, None for those of a missing norm; and the norms' eps."""
    if steps is None:
        return [], []
    tensors: list[Tensor | None] = [tensor.float().contiguous() for tensor in steps.tensors]
    if not steps.eps:
        tensors = [entry for weight in tensors for entry in (weight, None, None, None, None)]
    return tensors, steps.eps or [0.0] * (len(tensors) // 5)


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr() if tensor is not None and tensor.numel() else None)


_excite = ge_ops.define_excite(NAMESPACE, "cpu", _run)
