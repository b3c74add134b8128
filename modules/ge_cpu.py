"""Gather-Excite's kernel for CPUs: compiled by the machine's own compiler once, and kept.

`excite(x, logits, extent)` is x ⊙ interp(σ(logits)), with the clipped window means of x where no
logits are given: one read and one write of x. It has gradients, and goes through `torch.compile`.
`gather(x, steps, extent)` is the context of a gather by convolutions, and `gather_excite` gates by
it; both are for inference. Where there is no compiler with OpenMP, `is_available` is false: set CXX
to the one to use.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.layers.mlp import ConvMlp
from torch import Tensor, nn
from torch.nn.modules import module as nn_module

# Two versions of this file may be loaded side by side: each has operators of its own.
NAMESPACE = __name__.replace(".", "_")
SOURCE = Path(__file__).with_name("ge_cpu.cpp")
FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"),
    *("-fopenmp", "-fPIC", "-shared"),
)
DTYPES = (torch.float32, torch.bfloat16)
NARROW = 8  # maps of fewer columns are gone through side by side, but for the global extent
MOST_PIXELS = 2**17  # side by side: 16 channels of more are no tile for a cache
FEW = 8  # positions of a context: a product for each sample is then slower than one for all
SMALL = 2**15  # inputs of fewer elements are not worth a second thread


class Steps(NamedTuple):
    """What the convolutions of a gather compute, as plain tensors."""

    tensors: list[Tensor]  # of each step the weight, then the norm's weight, bias, mean, variance
    eps: list[float]  # of each norm; empty without norms


def suits(x: Tensor) -> bool:
    """Whether the kernel takes `x`, and is there."""
    if x.device.type != "cpu" or x.dtype not in DTYPES or x.dim() != 4:
        return False
    is_too_large = x.shape[2] * x.shape[3] > MOST_PIXELS and _layout(x) == torch.channels_last
    return not is_too_large and is_available()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # a compiled graph need not look again
def is_available() -> bool:
    return _library() is not None


def excite(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
    """N×C×H×W, and N×C×h×w or None, to N×C×H×W in the layout of x; extent 0 is global."""
    y: Tensor = _excite(x, logits, extent)
    return y


def steps_of(layers: nn.Sequential, x: Tensor, extent: int) -> Steps | None:
    """The steps of a gather; None where its layers have to be called.

    They have to be where a gradient will be asked for, a norm uses its batch's statistics or is
    none that can be folded into a scale and a shift, autocast chooses the types, or a hook waits.
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
    for tensor in steps.tensors:
        if tensor.dtype not in (x.dtype, torch.float32) or tensor.device != x.device:
            return None
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *steps.tensors)):
        return None
    return steps


def global_gather(layers: nn.Sequential, x: Tensor) -> Tensor:
    """The global gather with gradients: N×C×H×W to N×C×1×1.

    In float32 its convolution is a product and a sum here: PyTorch's own takes 2 to 10 times as
    long, forward and backward. In bfloat16 it stays, or each product would be rounded.
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
    """Whether somebody waits for one of these to be called: a counter of work, for example."""
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
    """What timm's ConvMlp computes, N×C×h×w to the same, by products of matrices.

    They take 0.3 to 0.9 times as long as convolutions of 1×1, which reorder input and weights.
    """
    match list(layers.children()):
        case [one, nn.Identity(), act, nn.Dropout(p=0.0), other] if type(layers) is ConvMlp:
            if _is_product(one) and _is_product(other) and not _is_hooked(*layers.modules()):
                return _product(act(_product(context, one)), other)
    logits: Tensor = layers(context)
    return logits


def _is_product(layer: nn.Module) -> bool:
    if type(layer) is not nn.Conv2d or layer.bias is None:
        return False
    return layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.groups == 1


def _product(x: Tensor, conv: nn.Module) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    weight, bias = conv.weight.flatten(1), conv.bias
    if x.shape[2] * x.shape[3] < FEW or _layout(x) == torch.channels_last:
        return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)
    if bias is None or x.dtype != torch.float32:  # in bfloat16 such products are slower
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
    return _small(x, extent)


@_gather_excite.register_fake
def _(x: Tensor, tensors: list[Tensor], eps: list[float], extent: int) -> Tensor:
    return _like(x)


@torch.library.custom_op(f"{NAMESPACE}::excite", mutates_args=(), device_types="cpu")
def _excite(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
    out, _ = _run(x, None, logits, extent)
    return out


@torch.library.custom_op(f"{NAMESPACE}::excite_backward", mutates_args=(), device_types="cpu")
def _excite_backward(
    x: Tensor, gradient: Tensor, logits: Tensor | None, extent: int
) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the logits; the second is empty where none were given."""
    return _run(x, gradient, logits, extent)


@_excite.register_fake
def _(x: Tensor, logits: Tensor | None, extent: int) -> Tensor:
    return _like(x)


@_excite_backward.register_fake
def _(x: Tensor, gradient: Tensor, logits: Tensor | None, extent: int) -> tuple[Tensor, Tensor]:
    return _like(x), x.new_empty(0) if logits is None else _like(logits, x)


def _remember(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, logits, ctx.extent = inputs
    ctx.save_for_backward(x, logits)


def _gradients(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
    x, logits = ctx.saved_tensors
    of_x, of_logits = _excite_backward(x, gradient, logits, ctx.extent)
    return of_x, None if logits is None else of_logits, None


_excite.register_autograd(_gradients, setup_context=_remember)


def is_channels_last(x: Tensor) -> bool:
    """Whether x is that and nothing else; all other layouts are made contiguous."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format


def _like(x: Tensor, layout_of: Tensor | None = None) -> Tensor:
    layout = _layout(x if layout_of is None else layout_of)
    return torch.empty_like(x, memory_format=layout)


def _small(x: Tensor, extent: int) -> Tensor:
    """Room for a context."""
    size = [-(-side // extent) if extent else 1 for side in x.shape[2:]]
    return torch.empty(
        (*x.shape[:2], *size), dtype=x.dtype, device=x.device, memory_format=_layout(x)
    )


def _run(
    x: Tensor,
    gradient: Tensor | None,
    logits: Tensor | None,
    extent: int,
    steps: Steps | None = None,
    is_gated: bool = True,
) -> tuple[Tensor, Tensor]:
    """The output, or the gradient of x; and that of the logits, or the context that is not gated.

    `gradient` is None for the forward, `logits` are None for the means of x or what `steps` gather.
    """
    library = _library()
    assert library is not None
    layout = _layout(x)
    x = x.contiguous(memory_format=layout)
    if gradient is not None:
        gradient = gradient.to(x.dtype).contiguous(memory_format=layout)
    slope = x.new_empty(0) if is_gated else _small(x, extent)
    is_global = not extent
    batch, channels, height, width = x.shape
    extent = min(extent or max(height, width, 1), max(height, width, 1))
    if logits is not None:
        given_dtype = logits.dtype
        expected = (batch, channels, -(-height // extent), -(-width // extent))
        if logits.shape != expected:
            raise ValueError(f"excite: logits of shape {tuple(logits.shape)}, not {expected}")
        logits = logits.to(x.dtype).contiguous(memory_format=layout)
        if gradient is not None:
            slope = torch.empty_like(logits, memory_format=layout)
    rows, columns = _sources(height, width, extent)
    out = torch.empty_like(x, memory_format=layout) if is_gated else x.new_empty(0)
    tensors, eps = _for_kernel(steps)
    is_narrow = width < NARROW and height * width <= MOST_PIXELS
    has_planes = is_global if steps else extent >= max(height, width)  # with one gate for all of it
    if x.numel():
        library.gather_excite(
            *(_pointer(tensor) for tensor in (x, gradient, logits, out, slope)),
            *(ctypes.c_long(size) for size in (batch, channels, height, width, extent)),
            *(_pointer(indices) for indices in (rows, columns)),
            int(x.dtype == torch.bfloat16),
            int(layout == torch.channels_last),
            int(is_narrow and not has_planes),
            torch.get_num_threads() if x.numel() >= SMALL else 1,
            (ctypes.c_void_p * len(tensors))(*(_pointer(tensor) for tensor in tensors)),
            (ctypes.c_float * len(eps))(*eps),
            ctypes.c_long(len(eps)),
            int(is_global),
        )
    return out, slope if logits is None else slope.to(given_dtype)


def _for_kernel(steps: Steps | None) -> tuple[list[Tensor | None], list[float]]:
    """Five tensors of float32 a step, None for those of a norm that is not there; and its eps."""
    if steps is None:
        return [], []
    tensors: list[Tensor | None] = [tensor.float().contiguous() for tensor in steps.tensors]
    if not steps.eps:
        tensors = [entry for weight in tensors for entry in (weight, None, None, None, None)]
    return tensors, steps.eps or [0.0] * (len(tensors) // 5)


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr() if tensor is not None and tensor.numel() else None)


@functools.lru_cache(maxsize=256)
def _sources(height: int, width: int, extent: int) -> tuple[Tensor, Tensor]:
    """Which row and column of the gates each element takes: F.interpolate's own rounding."""

    def nearest(size: int) -> Tensor:
        gates = torch.arange(-(-size // extent), dtype=torch.float32, device="cpu")
        return F.interpolate(gates[None, None, :, None], size=(size, 1)).flatten().int()

    with torch.inference_mode(False), torch.no_grad():
        return nearest(height), nearest(width)


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The kernel, compiled for this machine; None, with a warning, where that cannot be done."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        warnings.warn("Gather-Excite runs on PyTorch's operators: no C++ compiler", stacklevel=2)
        return None
    machine = f"{platform.machine()} {_cpu_flags()}"
    key = hashlib.sha256(f"{SOURCE.read_text()} {FLAGS} {compiler} {machine}".encode())
    name = f"gather-excite-{key.hexdigest()[:16]}.so"
    try:
        folder = _cache_folder()
        if not (folder / name).exists():
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".so", delete=False) as aside:
                pass
            command = [*shlex.split(compiler), *FLAGS, "-o", aside.name, str(SOURCE)]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=300)
                Path(aside.name).replace(folder / name)  # at once: another process may be looking
            finally:
                Path(aside.name).unlink(missing_ok=True)
        return ctypes.CDLL(str(folder / name))
    except (OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"Gather-Excite runs on PyTorch's operators: {compiler}: {type(error).__name__}",
            stacklevel=2,
        )
        return None


def _cache_folder() -> Path:
    """Where the compiled kernel is kept; a temporary folder where home cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "attn-bench")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="attn-bench-"))
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="attn-bench-"))


def _cpu_flags() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
