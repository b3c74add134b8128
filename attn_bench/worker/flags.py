"""The settings of PyTorch that a module may change for its whole process, one row each.

A row names the function that reads a setting and the one that sets it. Both are taken before a
user's code runs. A version of torch that lacks one of them has no such row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch.overrides import _pop_mode, _push_mode
from torch.utils._python_dispatch import _pop_mode as _pop_dispatch_mode
from torch.utils._python_dispatch import _push_mode as _push_dispatch_mode

C: Any = torch._C


@dataclass(frozen=True, slots=True)
class Entry:
    """A part of the state of a process.

    name: as a note has it. read: its value, to be compared by ==.
    put_back: sets an earlier value again; None if that is not possible.
    is_short: whether a note shows the two values.
    of_compilers: whether a compiler changes it, too; its value then stays.
    """

    name: str
    read: Callable[[], Any]
    put_back: Callable[[Any], Any] | None
    is_short: bool = True
    of_compilers: bool = False


# Name, function that reads, function that sets; both are names within `torch`.
FLAGS = (
    ("the number of threads", "get_num_threads", "set_num_threads"),
    ("the default dtype", "get_default_dtype", "set_default_dtype"),
    ("the recording of gradients", "is_grad_enabled", "_C._set_grad_enabled"),
    (
        "the float32 matmul precision",
        "get_float32_matmul_precision",
        "set_float32_matmul_precision",
    ),
    ("mkldnn.enabled", "_C._get_mkldnn_enabled", "_C._set_mkldnn_enabled"),
    ("mkldnn.deterministic", "_C._get_mkldnn_deterministic", "_C._set_mkldnn_deterministic"),
    ("nnpack.enabled", "_C._get_nnpack_enabled", "_C._set_nnpack_enabled"),
    ("cudnn.enabled", "_C._get_cudnn_enabled", "_C._set_cudnn_enabled"),
    ("cudnn.benchmark", "_C._get_cudnn_benchmark", "_C._set_cudnn_benchmark"),
    ("cudnn.deterministic", "_C._get_cudnn_deterministic", "_C._set_cudnn_deterministic"),
    ("cudnn.allow_tf32", "_C._get_cudnn_allow_tf32", "_C._set_cudnn_allow_tf32"),
    (
        "cudnn.benchmark_limit",
        "_C._cuda_get_cudnn_benchmark_limit",
        "_C._cuda_set_cudnn_benchmark_limit",
    ),
    ("cuda.matmul.allow_tf32", "_C._get_cublas_allow_tf32", "_C._set_cublas_allow_tf32"),
    (
        "cuda.matmul.allow_fp16_accumulation",
        "_C._get_cublas_allow_fp16_accumulation",
        "_C._set_cublas_allow_fp16_accumulation",
    ),
    ("flash attention", "_C._get_flash_sdp_enabled", "_C._set_sdp_use_flash"),
    (
        "memory-efficient attention",
        "_C._get_mem_efficient_sdp_enabled",
        "_C._set_sdp_use_mem_efficient",
    ),
    ("math attention", "_C._get_math_sdp_enabled", "_C._set_sdp_use_math"),
    ("cuDNN attention", "_C._get_cudnn_sdp_enabled", "_C._set_sdp_use_cudnn"),
    (
        "the fast path of multi-head attention",
        "backends.mha.get_fastpath_enabled",
        "backends.mha.set_fastpath_enabled",
    ),
    ("autocast's cache", "is_autocast_cache_enabled", "set_autocast_cache_enabled"),
)
AUTOCAST_DEVICES = ("cpu", "cuda")
FP32_PRECISIONS = (
    *(("generic", "all"), ("mkldnn", "all"), ("mkldnn", "conv"), ("mkldnn", "rnn")),
    *(("mkldnn", "matmul"), ("cuda", "all"), ("cuda", "conv"), ("cuda", "rnn")),
    ("cuda", "matmul"),
)
_kept: list[Any] = []


def torch_entries() -> list[Entry]:
    """A row for every setting that this version of torch has."""
    entries = [
        Entry(name, attrgetter(get)(torch), attrgetter(set_)(torch))
        for name, get, set_ in FLAGS
        if _exists(get) and _exists(set_)
    ]
    for device in AUTOCAST_DEVICES:
        entries += [
            Entry(
                f"autocast on {device}",
                partial(torch.is_autocast_enabled, device),
                partial(torch.set_autocast_enabled, device),
            ),
            Entry(
                f"autocast's dtype on {device}",
                partial(torch.get_autocast_dtype, device),
                partial(torch.set_autocast_dtype, device),
            ),
        ]
    if _exists("_C._get_fp32_precision_getter"):
        entries += [
            Entry(
                f"the float32 precision of {' '.join(place)}",
                partial(C._get_fp32_precision_getter, *place),
                partial(C._set_fp32_precision_setter, *place),
            )
            for place in FP32_PRECISIONS
        ]
    return [
        *entries,
        Entry("the default device", _default_device, torch.set_default_device),
        Entry("deterministic algorithms", _deterministic, _set_deterministic),
        Entry("anomaly detection", _anomaly, lambda value: torch.set_anomaly_enabled(*value)),
        Entry("the mode of inference", torch.is_inference_mode_enabled, _set_inference_mode),
        Entry("the flushing of denormal numbers", flushes_denormals, torch.set_flush_denormal),
        Entry("the modes for functions", _function_modes, _set_function_modes, is_short=False),
        Entry("the modes for dispatch", _dispatch_modes, _set_dispatch_modes, is_short=False),
        Entry("the hooks of all modules", _module_hooks, _set_module_hooks, is_short=False),
        Entry("the hooks of saved tensors", _saved_hooks, _drop_saved_hooks, is_short=False),
    ]


def _exists(name: str) -> bool:
    try:
        attrgetter(name)(torch)
    except AttributeError:
        return False
    return True


def _default_device() -> Any:
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _deterministic() -> tuple[bool, bool, bool]:
    return (
        C._get_deterministic_algorithms(),
        C._get_deterministic_algorithms_warn_only(),
        C._get_deterministic_fill_uninitialized_memory(),
    )


def _set_deterministic(value: tuple[bool, bool, bool]) -> None:
    mode, warn_only, fill = value
    C._set_deterministic_algorithms(mode, warn_only=warn_only)
    C._set_deterministic_fill_uninitialized_memory(fill)


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _set_inference_mode(value: bool) -> None:
    _kept.append(C._InferenceMode(value))  # the mode ends with its object


def flushes_denormals() -> bool:
    """Whether this thread rounds denormal numbers to zero, found by arithmetic.

    >>> flushes_denormals()
    False
    """
    return sys.float_info.min * _HALF == 0.0


_HALF = float("0.5")  # no constant, so that the product is computed when it is asked for


def _function_modes() -> list[Any]:
    return [C._get_function_stack_at(i) for i in range(C._len_torch_function_stack())]


def _set_function_modes(modes: list[Any]) -> None:
    while C._len_torch_function_stack():
        _pop_mode()
    for mode in modes:
        _push_mode(mode)


def _dispatch_modes() -> list[Any]:
    return [C._get_dispatch_stack_at(i) for i in range(C._len_torch_dispatch_stack())]


def _set_dispatch_modes(modes: list[Any]) -> None:
    while C._len_torch_dispatch_stack():
        _pop_dispatch_mode()
    for mode in modes:
        _push_dispatch_mode(mode)


# Each value is a dictionary of hooks; one is a flag that belongs to them.
_HOOKS = vars(sys.modules["torch.nn.modules.module"])
_HOOK_DICTS = [v for k, v in _HOOKS.items() if k.startswith("_global_") and isinstance(v, dict)]


def _module_hooks() -> tuple[Any, ...]:
    return _HOOKS["_global_is_full_backward_hook"], *(dict(hooks) for hooks in _HOOK_DICTS)


def _set_module_hooks(value: tuple[Any, ...]) -> None:
    _HOOKS["_global_is_full_backward_hook"], *before = value
    for hooks, earlier in zip(_HOOK_DICTS, before, strict=True):
        hooks.clear()
        hooks.update(earlier)


def _saved_hooks() -> Any:
    return C._autograd._top_saved_tensors_default_hooks(False)


def _drop_saved_hooks(value: Any) -> None:
    while C._autograd._top_saved_tensors_default_hooks(False) != value:
        C._autograd._pop_saved_tensors_default_hooks()
