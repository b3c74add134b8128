"""The gathers of Gather-Excite: a map N×C×H×W to its context, N×C×h×w.

A context has ⌈H/e⌉×⌈W/e⌉ elements for the extent e, and one element for the global extent.
The source card is in `gather_excite`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch.nn.functional as F
from timm.layers.create_act import create_act_layer
from timm.layers.helpers import to_2tuple
from torch import Tensor, nn

Layer = str | Callable[..., nn.Module]
"""A layer as timm takes it: a name ("relu", "groupnorm"), a class or a function that builds one."""

Size = int | tuple[int, int]


class PooledGather(nn.Module):
    """The gather without parameters: N×C×H×W to N×C×⌈H/e⌉×⌈W/e⌉, to N×C×1×1 for extent 0.

    It takes the mean of each (2e−1)×(2e−1) window, over the elements inside the map. With
    `add_maxpool` it takes half of this mean and half of the window's maximum.
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
        # Without padding the kernel has one position only, and the output is 1×1.
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


def check_extent(extent: int, *, power_of_two: bool) -> int:
    """Return `extent` as an int if a gather can be built for it.

    Raises ValueError, which names the nearest extents that can be built; TypeError for an extent
    that is not a whole number.
    """
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
