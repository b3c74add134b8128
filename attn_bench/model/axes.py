"""The axes: the conditions of a case, each with a closed list of values. The one home of an axis.

A field of `Conditions` is an axis: its type lists the values, its default is the usual one, and
its metadata says what it is. Case ids, columns, TOML keys, command line choices, the plan's
product, titles and the words beside a name follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

DType = Literal["float32", "bfloat16", "float16", "float64"]
MemoryFormat = Literal["contiguous", "channels_last"]
Mode = Literal["inference", "training"]
Execution = Literal["eager", "compile"]
DeviceName = Literal["cpu", "cuda"]

ITEM_BYTES: Mapping[str, int] = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class ExecutionFacts:
    """What is known of an execution without torch; `worker/executions/` has its code.

    patience: how long it may take to prepare a case, as a multiple of the timeout.
    needs: the distributions that it needs beside torch. Without one, its cases are unsupported.
    """

    patience: float = 1.0
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What is known of a device without torch; `worker/devices/` has its code.

    drivers: files, one of which exists where the device may exist; empty if it always exists.
    identity: the device facts that belong to a machine's fingerprint; one that is missing counts
        as None.
    """

    drivers: tuple[str, ...] = ()
    identity: tuple[str, ...] = ("gpu", "multiprocessors", "capability")


EXECUTION: Mapping[Execution, ExecutionFacts] = {
    "eager": ExecutionFacts(),
    "compile": ExecutionFacts(patience=5),
}
# `--device auto` takes the first that exists, in this order.
DEVICE: Mapping[DeviceName, DeviceFacts] = {
    "cuda": DeviceFacts(drivers=("/dev/nvidiactl", "/dev/dxg")),
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
    """A field of `Conditions`. words: how people read a value, where the value itself is not it.

    in_suite: whether a suite lists its values; the device is chosen by the command.
    beside_name: whether a value that is not usual stands beside the name of a variant; all others
    stand in the title of a table, since cases that differ in them have another baseline.
    in_every_id: whether its usual value stands in case ids, too. A new axis leaves old ids alone.
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
        "eager or torch.compile",
        "eager",
        {"compile": "compiled"},
        beside_name=True,
        in_every_id=True,
    )
    device: DeviceName = axis("cpu or cuda", "cpu", in_suite=False, in_every_id=True)


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis as code that runs over all of them reads it."""

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
AXIS_NAMES = tuple(axis.name for axis in AXES)
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)
DEVICE_CHOICES: tuple[str, ...] = (*DEVICES, AUTO)  # what `--device` takes


def conditions_of(value: Conditions) -> dict[str, Any]:
    """The value of every axis, by name; of a case or a row, too."""
    return {name: getattr(value, name) for name in AXIS_NAMES}


def unusual_words(
    value: Conditions, wanted: Callable[[Axis], bool] = lambda axis: True
) -> list[str]:
    """The values that are not the usual ones, as people read them.

    >>> unusual_words(Conditions(mode="training", execution="compile"))
    ['training', 'compiled']
    """
    return [
        axis.in_words(getattr(value, axis.name))
        for axis in AXES
        if wanted(axis) and getattr(value, axis.name) != axis.usual
    ]
