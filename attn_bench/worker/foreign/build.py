"""Builds a foreign class: finds by their names which arguments take the channels and the size."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from attn_bench.model.errors import RequestError, nearest
from attn_bench.worker.attempt import CaseFailed, attempt

Size = tuple[int, int]
CHANNELS = frozenset(
    (
        *(
            "c",
            "ch",
            "chs",
            "nc",
            "cin",
            "cout",
            "c1",
            "c2",
            "dim",
            "dims",
            "features",
            "inp",
            "oup",
        ),
        *("channel", "channels", "planes", "inplanes", "in_planes", "out_planes", "d_model"),
        *("in_c", "out_c", "in_ch", "out_ch", "in_chs", "out_chs", "in_channel", "out_channel"),
        *("in_channels", "out_channels", "inchannel", "outchannel", "inchannels", "outchannels"),
        *("input_channels", "output_channels", "n_channels", "num_channels", "channel_num"),
        *("gate_channel", "gate_channels", "in_dim", "out_dim", "input_dim", "embed_dim"),
        *("features", "num_features", "in_features", "out_features", "channel_in", "channels_in"),
    )
)
HEIGHT = frozenset(("h", "height", "feat_h", "in_h", "dct_h"))
WIDTH = frozenset(("w", "width", "feat_w", "in_w", "dct_w"))
SIZE = frozenset(
    ("feat_size", "size", "spatial_size", "resolution", "input_resolution", "input_size", "hw")
)
LEAST_CHANNELS = 8  # a smaller default is a count of something else


class NotBuilt(Exception):
    """The class cannot be built or called; the message is one line and names a way out."""


@dataclass(frozen=True)
class Foreign:
    """A class or function that makes an nn.Module, and the arguments that the user gave."""

    target: Callable[..., Any]
    name: str
    given: Mapping[str, Any]

    def build(self, channels: int, size: Size) -> tuple[nn.Module, str]:
        """An instance, and the call in words. Raises NotBuilt, and RequestError for `--args`."""
        arguments = self._arguments(channels, size)
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        call = f"{self.name}({shown})"
        torch.manual_seed(0)
        try:
            made = attempt("constructor", lambda: self.target(**arguments))
        except CaseFailed as failed:
            raise NotBuilt(f"{call}: {failed}; {self._way_out()}") from failed
        if not isinstance(made, nn.Module):
            kind = type(made).__name__
            raise NotBuilt(f"{call} gives {kind}, not an nn.Module; {self._way_out()}")
        return made, call

    def takes_channels(self) -> bool:
        """Whether the number of channels can be changed."""
        try:
            return 0 in self._arguments(0, (1, 1)).values()
        except NotBuilt:
            return False

    def _arguments(self, channels: int, size: Size) -> dict[str, Any]:
        parameters = self._parameters()
        found: dict[str, Any] = {}
        missing = []
        for name, parameter in parameters.items():
            value = self.given.get(name, _by_name(parameter, channels, size))
            if value is not None or name in self.given:
                found[name] = value
            elif parameter.default is parameter.empty:
                missing.append(name)
        if (
            len(missing) == 1
            and missing[0] == next(iter(parameters))
            and channels not in (found.values())
        ):
            found[missing.pop()] = channels
        if missing:
            raise NotBuilt(
                f"{self.name} needs {', '.join(missing)}: give --args "
                f'"{", ".join(f"{name}=…" for name in missing)}", or {self._way_out()}'
            )
        return {**found, **{name: self.given[name] for name in self.given if name not in found}}

    def _parameters(self) -> dict[str, inspect.Parameter]:
        """The parameters by name. Raises RequestError if `--args` has another one."""
        if isinstance(self.target, nn.Module) or not callable(self.target):
            kind = type(self.target).__name__
            raise NotBuilt(f"{self.name} is an instance of {kind}, not a class; {self._way_out()}")
        try:
            every = inspect.signature(self.target).parameters
        except (TypeError, ValueError):
            raise NotBuilt(f"{self.name} has no signature; {self._way_out()}") from None
        named = {
            name: parameter
            for name, parameter in every.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in every.values())
        for name in self.given:
            if name not in named and not takes_all:
                raise RequestError(f"--args: {self.name} takes no {name!r}{nearest(name, named)}")
        return named

    def _way_out(self) -> str:
        return f"wrap it: def wrapped(channels): return {self.name}(…)"


def _by_name(parameter: inspect.Parameter, channels: int, size: Size) -> Any:
    """The value that the name of the parameter asks for; None if it has another meaning."""
    name, default = parameter.name.lower().strip("_"), parameter.default
    is_required = default is parameter.empty
    is_count = isinstance(default, int) and not isinstance(default, bool)
    if name in CHANNELS and (
        is_required or default is None or (is_count and default >= LEAST_CHANNELS)
    ):
        return channels
    if name in SIZE and (is_required or default is None):
        return size
    if is_required and name in HEIGHT:
        return size[0]
    if is_required and name in WIDTH:
        return size[1]
    return None
