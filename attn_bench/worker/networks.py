"""Builds networks: timm's backbones, and the user's own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from attn_bench.catalog.backbones import is_own
from attn_bench.catalog.loading import load_object
from attn_bench.model.case import Shape
from attn_bench.model.errors import RequestError
from attn_bench.model.protocol import NetworkFound
from attn_bench.worker.attempt import CaseFailed, attempt


def open_network(name: str) -> nn.Module:
    """The network called `name`, with fresh weights. Raises CaseFailed.

    A network of the user's is a class or function without arguments, or an nn.Module, which is
    copied.
    """
    from attn_bench.modules import backbones  # loads timm's models, which takes a second

    if not is_own(name):
        return attempt("backbone", lambda: backbones.plain(name))
    try:
        found = load_object(name)
    except RequestError as error:
        raise CaseFailed("failed", str(error)) from None
    if isinstance(found, nn.Module):
        return copy.deepcopy(found)
    if not callable(found):
        kind = type(found).__name__
        raise CaseFailed("failed", f"{name} is a {kind}, not a class, function or nn.Module")
    made: Any = attempt(f"{name} called without arguments", found)
    if not isinstance(made, nn.Module):
        raise CaseFailed("failed", f"{name} gives a {type(made).__name__}, not an nn.Module")
    return made


def describe_network(name: str, image: Shape, layers: Sequence[str]) -> NetworkFound:
    """The stages, places and attention of a network for such images.

    Raises CaseFailed, also for a pattern of `layers` that matches none.
    """
    from attn_bench.modules import backbones

    model = open_network(name).eval()
    for pattern in layers:
        try:
            backbones.sites(model, "layers", layers=pattern)
        except ValueError as error:
            raise CaseFailed("failed", f"--place {pattern!r}: {error}") from None
    size = (image.channels, image.height, image.width)
    found = attempt("forward", lambda: backbones.all_sites(model, input_size=size))
    stages = max((site.stage for sites in found.values() for site in sites), default=0)
    return NetworkFound(stages, list(found), len(backbones.attention(model, found)))
