"""Every attention layer that timm's `create_attn` knows by name, with timm's own defaults."""

from __future__ import annotations

import inspect
from typing import Any

from timm.layers.create_attn import create_attn, get_attn
from torch import nn


def timm_attention(
    channels: int, feat_size: tuple[int, int] | None = None, *, attn_type: str, **options: Any
) -> nn.Module:
    """timm's layer `attn_type` for maps of `channels` × `feat_size`: N×C×H×W to the same.

    `feat_size` (height, width) is given only to the layers that take it; "bottleneck" needs it, and
    then takes no other size. "halo" takes maps whose sides are multiples of 8, "bat" of 7.
    `options` are handed on to the layer.

    What timm raises is raised here too: a TypeError for "ge" from timm 1.0.21 on, an AssertionError
    for a name that the installed timm does not know, or for a map that does not fit.

    >>> import torch
    >>> timm_attention(64, attn_type="eca")(torch.zeros(2, 64, 8, 8)).shape
    torch.Size([2, 64, 8, 8])
    """
    takes_size = "feat_size" in inspect.signature(get_attn(attn_type)).parameters
    size = {"feat_size": feat_size} if takes_size else {}
    module: nn.Module = create_attn(attn_type, channels, **size, **options)
    return module
