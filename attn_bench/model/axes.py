"""The axes: the conditions of a case, each with a closed list of values.

A field of `Conditions` is an axis. Its type lists the values, its default is the usual value, and
its metadata describes it. It defines case ids, columns, TOML keys, command line choices, the plan's
product, titles and the words beside a name. This is the one home of an axis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

DType = Literal["float32", "bfloat16", "float16", "float64"]
MemoryFormat = Literal["contiguous", "channels_last"]
Mode = Literal["inference", "training"]
Execution = Literal["eager", "compile"]
DeviceName = Literal["cpu", "cuda"]
Pages = Literal["huge", "default"]  # of memory, on a CPU

ITEM_BYTES: Mapping[str, int] = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class ExecutionFacts:
    """The facts of an execution that need no torch; `worker/executions/` has its code.

    patience: the most time to prepare a case, as a multiple of the timeout.
    needs: the distributions that it needs besides torch. If one is missing, its cases are
        unsupported.
    """

    patience: float = 1.0
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The facts of a device that need no torch; `worker/devices/` has its code.

    drivers: files of its drivers. The device may exist if one of them exists, or if this is empty.
    numbered: whether a machine may have several, which `--device NAME:INDEX` tells apart.
    identity: the device facts that are part of a machine's fingerprint. A missing fact counts as
        None.
    """

    drivers: tuple[str, ...] = ()
    numbered: bool = False
    identity: tuple[str, ...] = ("gpu", "multiprocessors", "capability")


EXECUTION: Mapping[Execution, ExecutionFacts] = {
    "eager": ExecutionFacts(),
    "compile": ExecutionFacts(patience=5),
}
# `--device auto` takes the first that exists, in this order.
DEVICE: Mapping[DeviceName, DeviceFacts] = {
    "cuda": DeviceFacts(drivers=("/dev/nvidiactl", "/dev/dxg"), numbered=True),
    "cpu": DeviceFacts(),
}
AUTO = "auto"
AUTO_ORDER: tuple[DeviceName, ...] = tuple(DEVICE)
HOST: DeviceName = "cpu"  # every machine has it, and its facts are known without a worker


def axis(
    about: str,
    usual: str,
    words: Mapping[str, str] | None = None,
    *,
    in_suite: bool = True,
    beside_name: bool = False,
    in_every_id: bool = False,
) -> Any:
    """A field of `Conditions`.

    words: value -> words for people; a value without an entry is shown as it is.
    in_suite: whether a suite lists its values. The command chooses the device.
    beside_name: whether an unusual value stands beside the name of a variant. The values of other
        axes stand in the title of a table, since cases that differ in them have other baselines.
    in_every_id: whether case ids contain its usual value, too. False for a new axis keeps old ids.
    """
    facts = {
        "about": about,
        "words": dict(words or {}),
        "in_suite": in_suite,
        "beside_name": beside_name,
        "in_every_id": in_every_id,
    }
    return field(default=usual, metadata=facts)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """One value of every axis."""

    dtype: DType = axis("type of input and parameters", "float32", in_every_id=True)
    memory_format: MemoryFormat = axis(
        "contiguous (NCHW) or channels_last (NHWC)", "contiguous", in_every_id=True
    )
    mode: Mode = axis(
        "inference (forward), or training (forward and backward)", "inference", in_every_id=True
    )
    execution: Execution = axis(
        "how the module is executed",
        "eager",
        {"compile": "compiled"},
        beside_name=True,
        in_every_id=True,
    )
    device: DeviceName = axis(
        "where the module is executed", "cpu", in_suite=False, in_every_id=True
    )


@dataclass(frozen=True, slots=True)
class Axis:
    """The facts of an axis, for code that handles all axes alike; `axis` documents them."""

    name: str
    values: tuple[str, ...]
    usual: str
    about: str
    words: Mapping[str, str]
    in_suite: bool
    beside_name: bool
    in_every_id: bool

    def in_words(self, value: str) -> str:
        return self.words.get(value, value.replace("_", " "))


def _axes() -> tuple[Axis, ...]:
    types = get_type_hints(Conditions)
    return tuple(
        Axis(item.name, get_args(types[item.name]), str(item.default), **item.metadata)
        for item in fields(Conditions)
    )


AXES = _axes()
SUITE_AXES = tuple(axis for axis in AXES if axis.in_suite)
# The baseline of a case has the usual value of each axis that stands beside a name.
AS_BASELINE = {axis.name: axis.usual for axis in AXES if axis.beside_name}
AXIS_NAMES = tuple(axis.name for axis in AXES)
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)
INDEX = "INDEX"  # in a choice: a number, from 0
# What `--device` takes.
DEVICE_CHOICES: tuple[str, ...] = (
    *DEVICES,
    *(f"{name}:{INDEX}" for name in DEVICES if DEVICE[name].numbered),
    AUTO,
)


def is_offered(value: str, choices: Iterable[str]) -> bool:
    """Whether `value` is one of the choices.

    >>> [is_offered(value, DEVICE_CHOICES) for value in ("cuda", "cuda:1", "cuda:x", "cpu:0")]
    [True, True, False, False]
    """
    return any(
        re.fullmatch(re.escape(choice).replace(INDEX, "[0-9]{1,3}"), value) for choice in choices
    )


def split_device(value: str) -> tuple[str, int]:
    """The name and the index of a choice of `--device`; the index is 0 if none is given.

    >>> split_device("cuda:1"), split_device("auto")
    (('cuda', 1), ('auto', 0))
    """
    name, _, index = value.partition(":")
    return name, int(index or 0)


def conditions_of(value: Conditions) -> dict[str, Any]:
    """The value of every axis by its name; `value` may be a case or a row."""
    return {name: getattr(value, name) for name in AXIS_NAMES}


def unusual_words(
    value: Conditions, includes: Callable[[Axis], bool] = lambda axis: True
) -> list[str]:
    """The words for the values that are not the usual ones.

    >>> unusual_words(Conditions(mode="training", execution="compile"))
    ['training', 'compiled']
    """
    return [
        axis.in_words(getattr(value, axis.name))
        for axis in AXES
        if includes(axis) and getattr(value, axis.name) != axis.usual
    ]
