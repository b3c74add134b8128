"""The axes: the conditions of a case, each with a closed list of values.

A field of `Conditions` is an axis. Its type lists the values, its default is the usual value, and
its metadata describes it. It defines case ids, columns, TOML keys, command line choices, the plan's
product and titles. This is the one home of an axis. Cases that differ in an axis have other
baselines, and stand in other tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

DType = Literal["float32", "bfloat16", "float16", "float64"]
MemoryFormat = Literal["contiguous", "channels_last"]
Mode = Literal["inference", "training"]
Execution = Literal[
    "eager",
    "compile",
    "compile:reduce-overhead",
    "compile:max-autotune",
    "cuda_graph",
    "onnxruntime",
    "openvino",
]
DeviceName = Literal["cpu", "cuda"]
Pages = Literal["huge", "default"]  # of memory, on a CPU

ITEM_BYTES: Mapping[str, int] = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class ExecutionFacts:
    """The facts of an execution that need no torch; `worker/executions/` has its code.

    What follows a colon in its name is an option: the mode of `torch.compile`.

    patience: the most time to prepare a case, as a multiple of the timeout.
    needs: the distributions that it needs besides torch. If one is missing, its cases are
        unsupported. The extra of its name installs them.
    exported: whether a runtime outside of PyTorch executes an exported module. PyTorch then sees
        no memory of it.
    side_by_side: whether preparing a case takes long, and several workers can do it at once.
    lingers_s: how long its threads spin after a call, and take a core from what is measured next.
    """

    patience: float = 1.0
    needs: tuple[str, ...] = ()
    exported: bool = False
    side_by_side: bool = False
    lingers_s: float = 0.0


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
    "compile": ExecutionFacts(patience=5, side_by_side=True),
    "compile:reduce-overhead": ExecutionFacts(patience=5, side_by_side=True),
    "compile:max-autotune": ExecutionFacts(patience=20),  # it measures, so it must be alone
    "cuda_graph": ExecutionFacts(),
    "onnxruntime": ExecutionFacts(
        patience=2,
        needs=("onnxruntime", "onnx", "onnxscript"),
        exported=True,
        side_by_side=True,
        lingers_s=0.08,
    ),
    "openvino": ExecutionFacts(
        patience=2, needs=("openvino", "onnx", "onnxscript"), exported=True, side_by_side=True
    ),
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
    in_every_id: bool = False,
) -> Any:
    """A field of `Conditions`.

    words: value -> words for people; a value without an entry is shown as it is.
    in_suite: whether a suite lists its values. The command chooses the device.
    in_every_id: whether case ids contain its usual value, too. False for a new axis keeps old ids.
    """
    facts = {
        "about": about,
        "words": dict(words or {}),
        "in_suite": in_suite,
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
        {
            "eager": "PyTorch",
            "compile": "compiled",
            "compile:reduce-overhead": "compiled (reduce-overhead)",
            "compile:max-autotune": "compiled (max-autotune)",
            "cuda_graph": "CUDA graph",
            "onnxruntime": "ONNX Runtime",
            "openvino": "OpenVINO",
        },
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
