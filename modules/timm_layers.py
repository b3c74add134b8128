"""The attention layers of timm's `create_attn`, by name, with timm's defaults."""

from __future__ import annotations

import inspect
from typing import Any

from timm.layers.create_attn import create_attn, get_attn
from torch import nn


def timm_attention(
    channels: int, feat_size: tuple[int, int] | None = None, *, attn_type: str, **options: Any
) -> nn.Module:
    """timm's layer `attn_type` for maps of `channels` × `feat_size`: N×C×H×W to the same.

    feat_size: (height, width), passed to the layers that have this argument. "bottleneck" needs it
        and accepts maps of this size only. The sides of maps must be multiples of 8 for "halo", of
        7 for "bat".
    options: passed to the layer.

    Raises what timm raises. This is a TypeError for "ge" from timm 1.0.21 on. It is an
    AssertionError for a name that the installed timm does not have, and for a map of a wrong size.

    >>> import torch
    >>> timm_attention(64, attn_type="eca")(torch.zeros(2, 64, 8, 8)).shape
    torch.Size([2, 64, 8, 8])
    """
    takes_size = "feat_size" in inspect.signature(get_attn(attn_type)).parameters
    size = {"feat_size": feat_size} if takes_size else {}
    module: nn.Module = create_attn(attn_type, channels, **size, **options)
    return module
