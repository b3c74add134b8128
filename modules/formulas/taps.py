"""Convolutions one tap at a time and group norms one group at a time, for several formulas."""

from __future__ import annotations

import torch
from torch import Tensor

from .parts import State


def conv(x: Tensor, state: State, name: str, dilation: int = 1) -> Tensor:
    """The convolution `name` with zeros around the map: N×C×H×W to N×D×H×W.

    The weight's shape gives the groups.
    """
    weight = state[f"{name}.weight"]
    (n, c, h, w), (taps_h, taps_w) = x.shape, weight.shape[2:]
    groups = c // weight.shape[1]
    top, left = dilation * (taps_h // 2), dilation * (taps_w // 2)
    padded = x.new_zeros(n, groups, c // groups, h + 2 * top, w + 2 * left)
    padded[..., top : top + h, left : left + w] = x.reshape(n, groups, -1, h, w)
    grouped = weight.reshape(groups, -1, *weight.shape[1:])  # G×D/G×C/G×taps
    out = x.new_zeros(n, groups, grouped.shape[1], h, w)
    for i in range(taps_h):
        for j in range(taps_w):
            part = padded[..., i * dilation :, j * dilation :][..., :h, :w]
            out += torch.einsum("ngihw,goi->ngohw", part, grouped[..., i, j])
    out = out.reshape(n, -1, h, w)
    bias = state.get(f"{name}.bias")
    return out if bias is None else out + bias[:, None, None]


def conv_1d(x: Tensor, state: State, name: str) -> Tensor:
    """The 1-d convolution `name` with zeros at the ends: N×C×L to N×D×L."""
    flat = {key: state[key] for key in (f"{name}.weight", f"{name}.bias") if key in state}
    flat[f"{name}.weight"] = flat[f"{name}.weight"][:, :, None]
    return conv(x[:, :, None], flat, name)[:, :, 0]


def group_norm(x: Tensor, state: State, name: str, groups: int) -> Tensor:
    """The GroupNorm `name`: N×C×… to the same, with the statistics of one group of one image."""
    out = x.clone()
    size = x.shape[1] // groups
    for image in out:
        for i in range(groups):
            part = image[i * size : (i + 1) * size]
            mean = part.mean()
            variance = (part - mean).square().mean()
            part.copy_((part - mean) / (variance + 1e-5).sqrt())
    shape = (-1, *(1,) * (x.ndim - 2))
    return out * state[f"{name}.weight"].reshape(shape) + state[f"{name}.bias"].reshape(shape)
