"""Gather-Excite: every element gated by its channel's context, gathered over a neighbourhood.

Source card
  paper       Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks.
              Jie Hu, Li Shen, Samuel Albanie, Gang Sun, Andrea Vedaldi. NeurIPS 2018.
              arXiv:1810.12348
  code        github.com/hujie-frank/GENet: Caffe prototxts of the three global forms in ResNet-50,
              figures of GE-θ⁻ and GE-θ at extent 8
  formula     y = x ⊙ σ(interp(excite(gather(x))))

              form   gather, global extent     gather, extent e                        excite
              GE-θ⁻  mean over H×W             mean, window 2e−1, stride e             –
              GE-θ   depthwise H×W → norm      log₂e × (depthwise 3×3, stride 2 →      –
                                               norm), ReLU between
              GE-θ⁺  as GE-θ                   as GE-θ                                 ReLU → MLP

  left open   - the mean at the border: elements outside the map are not counted, as in timm;
              - the kind of interpolation: nearest, source index ⌊i·h/H⌋, as `F.interpolate` has it.
                That computes the index in float32: at a few sizes above 70 (122 at extent 8) an
                element takes the neighbour of the source that exact arithmetic gives; so in timm;
              - GE-θ⁺ at an extent: published for the global extent only; the same steps are taken;
              - initial weights and the norm's momentum are PyTorch's, not those of the prototxts.
  the same    - σ and nearest interpolation commute: the gate is computed on the small map;
              - `GatherExcite(channels)` is Squeeze-and-Excitation (ratio 16, with biases), as it is
                in timm; the forms of the paper are `ge_theta_minus`, `ge_theta`, `ge_theta_plus`.
  timm        `GatherExcite` takes the arguments of `timm.layers.GatherExcite` and has its state
              dict. What timm's listing gets wrong is mended: the depthwise gather of the global
              extent is not padded (the gathered map is 1×1), `norm_layer` is honoured, an extent
              that cannot be built is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import ModuleType
from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import gather_excite as timm_ge
from timm.layers.activations import Sigmoid
from timm.layers.create_act import create_act_layer, get_act_layer
from timm.layers.create_norm import get_norm_layer
from timm.layers.helpers import make_divisible, to_2tuple
from timm.layers.mlp import ConvMlp
from torch import Tensor, nn

from . import ge_cpu

Layer = str | Callable[..., nn.Module]
"""A layer as timm takes it: a name ("relu", "groupnorm"), a class or a function that builds one."""

Excite = Callable[[Tensor, Tensor | None, int], Tensor]

Size = int | tuple[int, int]
Impl = Literal["auto", "kernel", "reference"]
SIGMOIDS = (nn.Sigmoid, Sigmoid)
CUDA_BY_DEFAULT = False  # until `ge_cuda` has been measured on a GPU: benchmarks/ge_cuda.py
TINY = 64  # elements of a map: at 7×7 the operators' global extent is as fast as the kernel


class GatherExcite(nn.Module):
    """y = x ⊙ σ(interp(mlp(gather(x)))): each element gated by its channel's context around it.

    Shape: N×C×H×W to the same. After a global learned gather the BatchNorm sees one value a channel
    and sample, so that training needs a batch of at least 2.

    channels: C.
    feat_size: (H, W) of the maps; needed for the global extent with `extra_params` only.
    extra_params: gather by depthwise convolutions (GE-θ) instead of a mean (GE-θ⁻).
    extent: the stride of the gather in elements; 0 is global. A whole number from 2; with
        `extra_params` a power of two.
    use_mlp: 1×1 → act → 1×1 with biases between gather and gate.
    rd_ratio, rd_channels, rd_divisor: the width between the two, as a part of C (rounded to a
        multiple of `rd_divisor`), or given outright.
    add_maxpool: gather half the mean and half the maximum; no meaning with `extra_params`.
    act_layer, norm_layer, gate_layer: layers as timm takes them; `norm_layer=None` is no norm.
    device, dtype: of the parameters.
    gather_act: the activation between gather and MLP, which GE-θ⁺ has and timm has not.
    impl: "auto" takes the kernel of `ge_cpu` where it fits (a CPU, float32 or bfloat16, a sigmoid
        as gate); "kernel" takes a kernel or refuses, on CUDA that of `ge_cuda`; "reference" takes
        PyTorch's operators everywhere. The results are the same within rounding.

    Raises ValueError for an extent that cannot be built, for a global learned gather without
    `feat_size`, and in its forward for a map of another size than `feat_size` or where "kernel" was
    asked for and none takes the input; TypeError for an extent that is no whole number.

    >>> GatherExcite(64, extra_params=True, extent=6)
    Traceback (most recent call last):
    ValueError: GatherExcite with extra_params: extent 6 is not a power of two (4 or 8?)
    """

    def __init__(
        self,
        channels: int,
        feat_size: Size | None = None,
        extra_params: bool = False,
        extent: int = 0,
        use_mlp: bool = True,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 1,
        add_maxpool: bool = False,
        act_layer: Layer = nn.ReLU,
        norm_layer: Layer | None = nn.BatchNorm2d,
        gate_layer: Layer = "sigmoid",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        gather_act: Layer | None = None,
        impl: Impl = "auto",
    ) -> None:
        super().__init__()
        if impl not in ("auto", "kernel", "reference"):
            raise ValueError(f"GatherExcite: impl is 'auto', 'kernel' or 'reference', not {impl!r}")
        self.impl = impl
        self.extent = checked_extent(extent, power_of_two=extra_params)
        norm = get_norm_layer(norm_layer) if norm_layer else None
        self.gather: nn.Module
        if not extra_params:
            self.gather = PooledGather(self.extent, add_maxpool)
        elif self.extent:
            self.gather = DepthwiseGather(channels, self.extent, act_layer, norm)
        else:
            self.gather = GlobalDepthwiseGather(channels, feat_size, norm)

        self.gather_act = create_act_layer(gather_act) if gather_act else nn.Identity()
        if not rd_channels:
            rd_channels = make_divisible(channels * rd_ratio, rd_divisor, round_limit=0.0)
        act = get_act_layer(act_layer)
        self.mlp = ConvMlp(channels, rd_channels, act_layer=act) if use_mlp else nn.Identity()
        self.gate = create_act_layer(gate_layer)
        # Moved once built: not every norm and activation takes a device and a dtype.
        self.to(device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self._kernel(x)
        is_ours = kernel is ge_cpu.excite
        steps = self._steps(x) if is_ours else None
        if steps is not None:
            return self._by_steps(x, steps)
        if self._is_tiny(x):
            kernel = None
        if kernel is not None and self._is_mean_alone():
            return kernel(x, None, self.extent)
        if is_ours and isinstance(self.gather, GlobalDepthwiseGather):
            context = ge_cpu.global_gather(self.gather, x)
        else:
            context = self.gather(x)  # N×C×H×W → N×C×⌈H/e⌉×⌈W/e⌉; the global extent: N×C×1×1
        logits = self.mlp(self.gather_act(context))  # the same shape
        if kernel is not None:
            return kernel(x, logits, self.extent)
        return self.excite(x, self.gate(logits))  # N×C×H×W

    def _by_steps(self, x: Tensor, steps: ge_cpu.Steps) -> Tensor:
        """The same where the kernel gathers too."""
        if self._is_gather_alone():
            return ge_cpu.gather_excite(x, steps, self.extent)
        context = self.gather_act(ge_cpu.gather(x, steps, self.extent))
        return ge_cpu.excite(x, ge_cpu.mlp(self.mlp, context), self.extent)

    def _steps(self, x: Tensor) -> ge_cpu.Steps | None:
        """The convolutions of the gather for the kernel; None where they have to be called."""
        if not isinstance(self.gather, DepthwiseGather | GlobalDepthwiseGather):
            return None
        if self._is_slow(x):
            return None
        return ge_cpu.steps_of(self.gather, x, self.extent)

    def _is_slow(self, x: Tensor) -> bool:
        """Whether the layers gather faster: at 7×7 in bfloat16, but for GE-θ with an extent."""
        is_small = x.shape[-2] * x.shape[-1] < TINY and x.dtype != torch.float32
        is_usual = bool(self.extent) and self._is_gather_alone()
        return self.impl == "auto" and is_small and not is_usual and x.is_contiguous()

    def _is_gather_alone(self) -> bool:
        """Whether nothing stands between the gather and the gate."""
        return isinstance(self.mlp, nn.Identity) and isinstance(self.gather_act, nn.Identity)

    def _is_mean_alone(self) -> bool:
        is_mean = isinstance(self.gather, PooledGather) and not self.gather.add_maxpool
        return is_mean and self._is_gather_alone()

    def _is_tiny(self, x: Tensor) -> bool:
        """Whether calling the kernel costs more than it saves."""
        return self.impl == "auto" and not self.extent and x.shape[-2] * x.shape[-1] < TINY

    def _is_for_operators(self, x: Tensor) -> bool:
        """Whether PyTorch's mean and product are as fast: also where channels lie side by side."""
        is_global = self.impl == "auto" and not self.extent and not x.is_cuda
        return self._is_tiny(x) or (is_global and ge_cpu.is_channels_last(x))

    def _kernel(self, x: Tensor) -> Excite | None:
        """`excite` of the kernel that takes x; None for PyTorch's operators."""
        if self.impl == "reference":
            return None
        if isinstance(self.gather, PooledGather) and self._is_for_operators(x):
            return None
        if self.impl == "auto" and x.is_cuda and not CUDA_BY_DEFAULT:
            return None
        kernels = _kernels(x)
        reason = self._why_not(kernels, x)
        if self.impl == "kernel" and reason:
            raise ValueError(f"GatherExcite with impl='kernel': {reason} (impl='auto'?)")
        return None if reason or kernels is None else kernels.excite

    def _why_not(self, kernels: ModuleType | None, x: Tensor) -> str | None:
        """An exported or traced graph is to run anywhere: it has PyTorch's operators alone."""
        if not isinstance(self.gate, SIGMOIDS):
            return f"the gate is {type(self.gate).__name__}, and the kernels have a sigmoid"
        is_traced = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        if is_traced or torch.compiler.is_exporting():
            return "an exported or traced graph has PyTorch's operators alone"
        if kernels is None:
            return "Triton is not installed"
        if not kernels.suits(x):
            return f"none for {str(x.dtype).removeprefix('torch.')} {tuple(x.shape)} on {x.device}"
        return None

    def excite(self, x: Tensor, gate: Tensor) -> Tensor:
        """x ⊙ interp(gate): N×C×H×W and N×C×h×w to N×C×H×W."""
        if gate.shape[-2:] != (1, 1):  # a 1×1 gate needs no interpolation: it broadcasts
            gate = F.interpolate(gate, size=x.shape[-2:], mode="nearest")
        return x * gate

    def extra_repr(self) -> str:
        return f"extent={self.extent or 'global'}"


def _kernels(x: Tensor) -> ModuleType | None:
    """The file of kernels for the device of x; Triton is imported where a CUDA tensor needs it."""
    if not x.is_cuda:
        return ge_cpu
    try:
        from . import ge_cuda
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        return None
    return ge_cuda


class PooledGather(nn.Module):
    """The gather without parameters: N×C×H×W to N×C×⌈H/e⌉×⌈W/e⌉, to N×C×1×1 for extent 0.

    The mean of the part of a (2e−1)×(2e−1) window that lies within the map; with `add_maxpool` half
    of it and half of the window's maximum.
    """

    def __init__(self, extent: int, add_maxpool: bool = False) -> None:
        super().__init__()
        self.extent = extent
        self.add_maxpool = add_maxpool
        self.kernel, self.padding = 2 * extent - 1, extent - 1

    def forward(self, x: Tensor) -> Tensor:
        mean = self.mean(x)
        return 0.5 * mean + 0.5 * self.maximum(x) if self.add_maxpool else mean

    def mean(self, x: Tensor) -> Tensor:
        if self.extent == 0:
            return x.mean(dim=(2, 3), keepdim=True)
        return F.avg_pool2d(x, self.kernel, self.extent, self.padding, count_include_pad=False)

    def maximum(self, x: Tensor) -> Tensor:
        if self.extent == 0:
            return x.amax(dim=(2, 3), keepdim=True)
        return F.max_pool2d(x, self.kernel, self.extent, self.padding)


class DepthwiseGather(nn.Sequential):
    """log₂(extent) × (depthwise 3×3, stride 2 → norm), act between: N×C×H×W to N×C×⌈H/e⌉×⌈W/e⌉."""

    def __init__(
        self,
        channels: int,
        extent: int,
        act_layer: Layer,
        norm: Callable[..., nn.Module] | None,
    ) -> None:
        super().__init__()
        halvings = extent.bit_length() - 1
        for i in range(1, halvings + 1):
            conv = nn.Conv2d(channels, channels, 3, 2, padding=1, groups=channels, bias=False)
            self.add_module(f"conv{i}", conv)
            if norm is not None:
                self.add_module(f"norm{i}", norm(channels))
            if i < halvings:
                self.add_module(f"act{i}", create_act_layer(act_layer, inplace=True))


class GlobalDepthwiseGather(nn.Sequential):
    """A depthwise convolution as large as the map → norm: N×C×H×W to N×C×1×1."""

    def __init__(
        self, channels: int, feat_size: Size | None, norm: Callable[..., nn.Module] | None
    ) -> None:
        super().__init__()
        if feat_size is None:
            raise ValueError(
                "GatherExcite with extra_params: the global extent needs the size of the maps "
                "(feat_size=(height, width), or an extent of 2, 4, 8, …?)"
            )
        self.feat_size: tuple[int, int] = to_2tuple(feat_size)
        # Not padded: the kernel then has one position, and the output is 1×1.
        conv = nn.Conv2d(channels, channels, self.feat_size, groups=channels, bias=False)
        self.add_module("conv1", conv)
        if norm is not None:
            self.add_module("norm1", norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if (height, width) != self.feat_size:
            raise ValueError(
                f"GatherExcite with extra_params, global extent: the map is {height}×{width}, "
                f"built for {self.feat_size[0]}×{self.feat_size[1]} "
                f"(feat_size=({height}, {width})?)"
            )
        for step in self:
            x = step(x)
        return x


def checked_extent(extent: int, *, power_of_two: bool) -> int:
    """`extent` if a gather can be built for it; a ValueError that names the nearest if not."""
    extent = operator.index(extent)
    if extent == 1 or extent < 0:
        raise ValueError(
            f"GatherExcite: extent {extent} is below 2 (2, or 0 for the global extent?)"
        )
    if power_of_two and extent & (extent - 1):
        below = 1 << (extent.bit_length() - 1)
        raise ValueError(
            f"GatherExcite with extra_params: extent {extent} is not a power of two "
            f"({below} or {2 * below}?)"
        )
    return extent


def ge_theta_minus(
    channels: int, feat_size: Size | None = None, extent: int = 0, impl: Impl = "auto"
) -> GatherExcite:
    """GE-θ⁻: the mean as context, no parameters; shape is kept.

    >>> ge_theta_minus(64, extent=4)(torch.ones(2, 64, 14, 14)).shape
    torch.Size([2, 64, 14, 14])
    """
    return GatherExcite(channels, feat_size, extent=extent, use_mlp=False, impl=impl)


def ge_theta(
    channels: int, feat_size: Size | None = None, extent: int = 0, impl: Impl = "auto"
) -> GatherExcite:
    """GE-θ: depthwise convolutions as gather; the global one needs `feat_size`; shape is kept."""
    return GatherExcite(
        channels, feat_size, extra_params=True, extent=extent, use_mlp=False, impl=impl
    )


def ge_theta_plus(
    channels: int, feat_size: Size | None = None, extent: int = 0, impl: Impl = "auto"
) -> GatherExcite:
    """GE-θ⁺: as GE-θ, with a ReLU and an MLP of ratio 16 before the gate; shape is kept."""
    return GatherExcite(
        channels, feat_size, extra_params=True, extent=extent, gather_act=nn.ReLU, impl=impl
    )


def ge_reference(channels: int, feat_size: Size | None = None, extent: int = 0) -> GatherExcite:
    """GE-θ⁻ by PyTorch's operators, whatever kernel there is; shape is kept."""
    return ge_theta_minus(channels, feat_size, extent, impl="reference")


def ge_listing(channels: int, feat_size: Size | None = None, extent: int = 0) -> nn.Module:
    """GE-θ⁻ as timm's own class computes it, the gate on the full map; shape is kept."""
    module: nn.Module = timm_ge.GatherExcite(channels, extent=extent, use_mlp=False)
    return module
