"""Gather-Excite: each element is gated by the context of its channel, gathered around it.

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

  left open   - The mean at the border. Chosen: over the elements inside the map, as in timm.
              - The interpolation. Chosen: nearest, source index ⌊i·h/H⌋, by `F.interpolate`. It
                computes the index in float32. At a few sizes above 70 (122 at extent 8) an
                element takes the neighbour of the exact source. timm does the same.
              - GE-θ⁺ with an extent: the paper has the global extent only. Chosen: the same steps.
              - The initial weights and the norm's momentum. Chosen: PyTorch's, not the prototxts'.
  equal       - σ and nearest interpolation commute: the gate is computed on the small map.
              - `GatherExcite(channels)` is Squeeze-and-Excitation (ratio 16, with biases), as in
                timm. The paper's forms are `ge_theta_minus`, `ge_theta` and `ge_theta_plus`.
  timm        `GatherExcite` takes the arguments of `timm.layers.GatherExcite` and has its state
              dict. It corrects three faults of timm's class: the depthwise gather of the global
              extent is not padded (the gathered map is 1×1), `norm_layer` is respected, and an
              extent that cannot be built is refused.

The gathers are in `ge_gathers`. `ge_dispatch` chooses between PyTorch's operators and the kernels
of `ge_cpu` and `ge_cuda`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import gather_excite as timm_ge
from timm.layers.create_act import create_act_layer, get_act_layer
from timm.layers.create_norm import get_norm_layer
from timm.layers.helpers import make_divisible
from timm.layers.mlp import ConvMlp
from torch import Tensor, nn

from . import ge_dispatch
from .ge_dispatch import Impl
from .ge_gathers import (
    DepthwiseGather,
    GlobalDepthwiseGather,
    Layer,
    PooledGather,
    Size,
    check_extent,
)


class GatherExcite(nn.Module):
    """y = x ⊙ σ(interp(mlp(gather(x)))): each element is gated by the context of its channel.

    Shape: N×C×H×W to the same. In training, a global learned gather needs a batch of at least 2,
    because its BatchNorm sees one value for each channel and sample.

    channels: C.
    feat_size: (H, W) of the maps. Only the global extent with `extra_params` needs it.
    extra_params: gather by depthwise convolutions (GE-θ) instead of a mean (GE-θ⁻).
    extent: the stride of the gather in elements, at least 2; 0 is global. With `extra_params` it
        must be a power of two.
    use_mlp: put 1×1 → act → 1×1, with biases, between gather and gate.
    rd_ratio: the width between the two 1×1, as a part of C.
    rd_channels: this width in channels; replaces `rd_ratio`.
    rd_divisor: the width from `rd_ratio` is rounded to a multiple of this.
    add_maxpool: gather half the mean and half the maximum; without effect with `extra_params`.
    act_layer, norm_layer, gate_layer: layers as timm takes them; `norm_layer=None` is no norm.
    device, dtype: of the parameters.
    gather_act: the activation between gather and MLP. GE-θ⁺ has one, timm's class does not.
    impl: "auto" uses the kernel of `ge_cpu` where it is faster (CPU, float32 or bfloat16, a
        sigmoid as gate). "kernel" uses a kernel or raises; on CUDA it is that of `ge_cuda`.
        "reference" uses PyTorch's operators only. The results are equal within rounding.

    Raises ValueError for an extent that cannot be built, and for a global learned gather without
    `feat_size`. Raises TypeError for an extent that is not a whole number. The forward raises
    ValueError for a map of another size than `feat_size`, and where `impl` is "kernel" and no
    kernel supports the input.

    >>> GatherExcite(64, extra_params=True, extent=6)
    Traceback (most recent call last):
    ValueError: GatherExcite with extra_params: extent 6 is not a power of two (4 or 8?)
    """

    # This mirrors timm's signature, so it has more than eight parameters: callers swap the classes.
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
        self.extent = check_extent(extent, power_of_two=extra_params)
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
        self.mlp: nn.Module = nn.Identity()
        if use_mlp:
            self.mlp = ConvMlp(channels, rd_channels, act_layer=act)
        self.gate = create_act_layer(gate_layer)
        # Moved after building: some norms and activations do not take a device and a dtype.
        self.to(device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        # TorchScript compiles this branch alone.
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            y = self.excite(x, self.mlp(self.gather_act(self.gather(x))))
        else:
            y = self._compute(x)
        return y

    def _compute(self, x: Tensor) -> Tensor:
        path = ge_dispatch.choose(self, x)
        if path.fused is not None:  # nothing stands between gather and gate: one kernel does both
            return path.fused(x)
        context = path.gather(x)  # N×C×H×W → N×C×⌈H/e⌉×⌈W/e⌉; the global extent: N×C×1×1
        logits = path.mlp(self.gather_act(context))  # the same shape
        return path.excite(x, logits)  # N×C×H×W

    def excite(self, x: Tensor, logits: Tensor) -> Tensor:
        """x ⊙ interp(gate(logits)) by PyTorch's operators: N×C×H×W and N×C×h×w to N×C×H×W."""
        gate: Tensor = self.gate(logits)
        if gate.shape[-2:] != (1, 1):  # a 1×1 gate broadcasts: it needs no interpolation
            gate = F.interpolate(gate, size=x.shape[-2:], mode="nearest")
        return x * gate

    def extra_repr(self) -> str:
        return f"extent={self.extent or 'global'}"


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
    """GE-θ: gather by depthwise convolutions; the global one needs `feat_size`; shape is kept."""
    return GatherExcite(
        channels, feat_size, extra_params=True, extent=extent, use_mlp=False, impl=impl
    )


def ge_theta_plus(
    channels: int, feat_size: Size | None = None, extent: int = 0, impl: Impl = "auto"
) -> GatherExcite:
    """GE-θ⁺: GE-θ with a ReLU and an MLP of ratio 16 before the gate; shape is kept."""
    return GatherExcite(
        channels, feat_size, extra_params=True, extent=extent, gather_act=nn.ReLU, impl=impl
    )


def ge_reference(channels: int, feat_size: Size | None = None, extent: int = 0) -> GatherExcite:
    """GE-θ⁻ by PyTorch's operators, never by a kernel; shape is kept."""
    return ge_theta_minus(channels, feat_size, extent, impl="reference")


def ge_listing(channels: int, feat_size: Size | None = None, extent: int = 0) -> nn.Module:
    """GE-θ⁻ by timm's own class, which computes the gate on the full map; shape is kept."""
    module: nn.Module = timm_ge.GatherExcite(channels, extent=extent, use_mlp=False)
    return module
