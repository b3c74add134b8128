"""Classes that nobody registered: right ones and faulty ones, each with its own names.

`fault` chooses the fault; without one the class computes its paper's formula.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class LinearSE(nn.Module):
    """SE by nn.Linear; the reduction comes before the channels."""

    def __init__(self, reduction=16, in_planes=512, fault=""):
        super().__init__()
        self.fault = fault
        self.down = nn.Linear(in_planes, in_planes // reduction, bias=False)
        self.up = nn.Linear(in_planes // reduction, in_planes, bias=False)

    def forward(self, x):
        y = self.down(x.mean((2, 3)))
        y = self.up(y if self.fault == "relu" else y.relu()).sigmoid()
        y = y.sigmoid() if self.fault == "twice" else y
        return x * y[:, :, None, None]


class FunctionalSE(nn.Module):
    """SE by matrix products from the left, without a layer."""

    def __init__(self, dim, squeeze_factor=16):
        super().__init__()
        width = dim // squeeze_factor
        self.a, self.b = nn.Parameter(torch.ones(dim, width)), nn.Parameter(torch.ones(width))
        self.c, self.d = nn.Parameter(torch.ones(width, dim)), nn.Parameter(torch.ones(dim))

    def forward(self, x):
        y = F.relu(F.adaptive_avg_pool2d(x, 1).flatten(1) @ self.a + self.b) @ self.c + self.d
        return y.sigmoid()[..., None, None].expand_as(x) * x


class OfficialCBAM(nn.Module):
    """The maximum first, no norm, the spatial layer defined first."""

    def __init__(self, gate_channels, ratio=16, fault=""):
        super().__init__()
        self.fault = fault
        self.seven = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.mlp = nn.Sequential(
            nn.Conv2d(gate_channels, gate_channels // ratio, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(gate_channels // ratio, gate_channels, 1, bias=False),
        )

    def forward(self, x):
        y = self.mlp(F.adaptive_avg_pool2d(x, 1))
        if self.fault != "no maximum":
            y = y + self.mlp(F.adaptive_max_pool2d(x, 1))
        x1 = y.sigmoid() * x
        maps = torch.cat([x1.max(1, keepdim=True)[0], x1.mean(1, keepdim=True)], 1)
        x2 = self.seven(maps).sigmoid() * x1
        return x2 + x1 if self.fault == "residual" else x2


class OtherBAM(nn.Module):
    """The spatial branch is defined first; a layer is a convolution and a norm apart."""

    def __init__(self, planes, ratio=16, fault=""):
        super().__init__()
        self.fault, width = fault, planes // ratio
        self.reduce = nn.Conv2d(planes, width, 1)
        self.wide1 = nn.Conv2d(width, width, 3, padding=4, dilation=4)
        self.wide2 = nn.Conv2d(width, width, 3, padding=4, dilation=4)
        self.last = nn.Conv2d(width, 1, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(3))
        self.fc1, self.fc2 = nn.Linear(planes, width), nn.Linear(width, planes)
        self.norm = nn.Identity() if fault == "norm" else nn.BatchNorm1d(width)

    def forward(self, x):
        y = x
        for conv, norm in zip((self.reduce, self.wide1, self.wide2), self.norms, strict=True):
            y = F.relu(norm(conv(y)))
        places = self.last(y)
        channels = self.fc2(F.relu(self.norm(self.fc1(x.mean((2, 3))))))[..., None, None]
        logits = channels + places if self.fault == "added" else channels * places
        return x + x * logits.sigmoid()


class AdaptiveECA(nn.Module):
    """ECA by a Conv1d whose kernel grows with the channels."""

    def __init__(self, c, fault=""):
        super().__init__()
        half = int(abs((math.log2(c) + 1) / 2))
        size = 3 if fault == "kernel" else half if half % 2 else half + 1
        self.along = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x):
        y = self.along(x.mean((2, 3)).unsqueeze(1)).transpose(1, 2).unsqueeze(-1)
        return x * y.sigmoid()


class PooledGE(nn.Module):
    """GE-θ⁻ by PyTorch's pooling; takes no channels."""

    def __init__(self, extent=4, fault=""):
        super().__init__()
        self.extent, self.fault = extent, fault

    def forward(self, x):
        e = self.extent
        padded = self.fault == "padded"
        y = F.avg_pool2d(x, 2 * e - 1, e, padding=e - 1, count_include_pad=padded)
        return x * F.interpolate(y, x.shape[2:]).sigmoid()


class LearnedGE(nn.Module):
    """GE-θ at extent 4."""

    def __init__(self, in_channels, fault=""):
        super().__init__()
        self.mode = {"mode": "bilinear"} if fault == "bilinear" else {}
        same = {"stride": 2, "padding": 1, "groups": in_channels, "bias": False}
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, **same),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, in_channels, 3, **same),
            nn.BatchNorm2d(in_channels),
        )

    def forward(self, x):
        return x * F.interpolate(self.body(x), x.shape[2:], **self.mode).sigmoid()


class GlobalGEPlus(nn.Module):
    """GE-θ⁺ with the global extent."""

    def __init__(self, channels, feat_size, fault=""):
        super().__init__()
        self.fault = fault
        self.depthwise = nn.Conv2d(channels, channels, feat_size, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.one = nn.Conv2d(channels, channels // 16, 1)
        self.two = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x):
        y = self.bn(self.depthwise(x))
        y = y if self.fault == "relu" else y.relu()
        return x * self.two(self.one(y).relu()).sigmoid()


class ContextBlock(nn.Module):
    """GCNet's block with PyTorch's LayerNorm."""

    def __init__(self, inplanes, ratio=1 / 16, fault=""):
        super().__init__()
        self.fault, width = fault, int(inplanes * ratio)
        self.conv_mask = nn.Conv2d(inplanes, 1, 1)
        self.add = nn.Sequential(
            nn.Conv2d(inplanes, width, 1),
            nn.LayerNorm([width, 1, 1]),
            nn.ReLU(),
            nn.Conv2d(width, inplanes, 1),
        )

    def forward(self, x):
        mask = self.conv_mask(x).flatten(2)
        mask = mask.softmax(1 if self.fault == "softmax" else 2)
        context = torch.einsum("ncp,nkp->nc", x.flatten(2), mask)
        return x + self.add(context[..., None, None])


class CoordAtt(nn.Module):
    """Coordinate attention: one output of the two axes, split afterwards."""

    def __init__(self, inp, oup, reduction=32, fault=""):
        super().__init__()
        self.fault, width = fault, max(8, inp // reduction)
        self.both = nn.Sequential(nn.Conv2d(inp, width, 1), nn.BatchNorm2d(width), nn.Hardswish())
        self.for_w, self.for_h = nn.Conv2d(width, oup, 1), nn.Conv2d(width, oup, 1)

    def forward(self, x):
        h, w = x.shape[2:]
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)
        rows, columns = self.both(torch.cat([rows, columns], 2)).split([h, w], 2)
        rows, columns = self.for_h(rows).sigmoid(), self.for_w(columns.transpose(2, 3)).sigmoid()
        if self.fault == "axis":
            rows, columns = rows.transpose(2, 3), columns.transpose(2, 3)
        return x * rows * columns


class Rotated(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, x):
        return x * self.layer(torch.stack([x.max(1)[0], x.mean(1)], 1)).sigmoid()


class Triplet(nn.Module):
    """Triplet attention, the branch over the positions last."""

    def __init__(self, fault=""):
        super().__init__()
        self.divisor = 1 if fault == "sum" else 3
        self.cw, self.hc, self.hw = Rotated(), Rotated(), Rotated()

    def forward(self, x):
        a = self.cw(x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3)
        b = self.hc(x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        return (self.hw(x) + a + b) / self.divisor


class Simam(nn.Module):
    """SimAM, whose variance is that of PyTorch."""

    def __init__(self, fault=""):
        super().__init__()
        self.unbiased = fault != "variance"
        self.half = 0.0 if fault == "half" else 0.5

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        variance = x.var((2, 3), keepdim=True, unbiased=self.unbiased)
        return x * torch.sigmoid((x - mean) ** 2 / (4 * variance + 4e-4) + self.half)


class GroupEnhance(nn.Module):
    """SGE as one batch of groups, with the deviation of PyTorch."""

    def __init__(self, groups=64, fault=""):
        super().__init__()
        self.groups, self.fault = groups, fault
        self.gamma = nn.Parameter(torch.zeros(1, groups, 1, 1))
        self.beta = nn.Parameter(torch.ones(1, groups, 1, 1))

    def forward(self, x):
        batch, _, height, width = x.shape
        parts = x.reshape(batch * self.groups, -1, height, width)
        pooled = parts.amax((2, 3)) if self.fault == "maximum" else parts.mean((2, 3))
        scores = (parts * pooled[:, :, None, None]).sum(1).flatten(1)
        scores = scores - scores.mean(1, keepdim=True)
        if self.fault != "norm":
            scores = scores / (scores.std(1, keepdim=True) + 1e-5)
        scores = scores.view(batch, self.groups, height, width) * self.gamma + self.beta
        gate = scores.view(len(parts), 1, height, width).sigmoid()
        return (parts * gate).view_as(x)


class ChannelModule(nn.Module):
    """DANet's channel attention, as its authors' code has it."""

    def __init__(self, in_dim, fault=""):
        super().__init__()
        self.fault = fault
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        flat = x.flatten(2)
        energy = torch.bmm(flat, flat.transpose(1, 2))
        if self.fault == "sigmoid":
            share = energy.sigmoid()
        else:
            share = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
        return self.gamma * torch.bmm(share, flat).view_as(x) + x


class LargeKernel(nn.Module):
    """LKA with other names."""

    def __init__(self, dim, fault=""):
        super().__init__()
        self.fault = fault
        far = 1 if fault == "dilation" else 3
        self.conv0 = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.conv_spatial = nn.Conv2d(dim, dim, 7, padding=3 * far, groups=dim, dilation=far)
        self.conv1 = nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        attention = self.conv1(self.conv_spatial(self.conv0(x)))
        return x * (attention.sigmoid() if self.fault == "sigmoid" else attention)


class Unbuildable(nn.Module):
    """Needs more than channels."""

    def __init__(self, channels, heads, window):
        super().__init__()


class Pair(nn.Module):
    """Gives its gate, too."""

    def forward(self, x):
        gate = x.mean((2, 3), keepdim=True).sigmoid()
        return x * gate, gate


class Unlike(nn.Module):
    """Has no weight that SE has."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x):
        return x * self.conv(x).sigmoid()


class SquaresOnly(nn.Module):
    """GE-θ⁻ with the global extent, refusing odd maps."""

    def forward(self, x):
        if x.shape[2] != x.shape[3]:
            raise RuntimeError("maps must be square")
        return x * x.mean((2, 3), keepdim=True).sigmoid()
