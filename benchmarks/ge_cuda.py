"""Gather-Excite's Triton kernel on a GPU: python benchmarks/ge_cuda.py

Prints, for ResNet-50's stages at batch 64, the device's microseconds for a copy of the input, for
PyTorch's operators, these compiled, and the kernel, with the kernel's ratio to the copy and to the
compiled operators. Aimed at: at most 1.5 copies at 256×56×56 in inference, and faster than compiled
at every shape. The ways take turns in random order, each call behind a flush of the L2; medians. A
last line says what was missed. Status 0: nothing was; 1: something was; 2: there is no GPU.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys

import torch
from torch import Tensor

from attn_bench.modules.gather_excite import ge_theta_minus
from attn_bench.worker.devices.cuda import Cuda

STAGES = ((256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7))
EXTENTS = (2, 4, 8, 0)
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MOST_COPIES = 1.5
TOLERANCE = {"float32": 1e-4, "float16": 4e-3, "bfloat16": 3e-2}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=["float32", "bfloat16"])
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    options = parser.parse_args()
    if not Cuda.available():
        print("benchmarks/ge_cuda.py: no CUDA device, and this measures on one", file=sys.stderr)
        return 2
    device = Cuda()
    print(f"{device.facts()['gpu']}, torch {torch.__version__}, µs on the device, median")
    print(
        "mode       dtype     layout  shape             extent      copy  operators   compiled"
        "     kernel   ÷ copy  ÷ compiled"
    )
    missed = []
    for training in (False, True):
        for dtype in options.dtype:
            for layout in options.layout:
                for shape in STAGES:
                    for extent in EXTENTS:
                        if extent > max(shape[1:]):
                            continue
                        x = torch.randn(options.batch, *shape, device="cuda").to(
                            DTYPES[dtype], memory_format=LAYOUTS[layout]
                        )
                        mode = "training" if training else "inference"
                        name = f"{mode:10} {dtype:9} {layout:7} {'×'.join(map(str, shape)):17}"
                        name += f" {extent or 'global':>6}"
                        check(x, extent, TOLERANCE[dtype])
                        times = measured(device, ways(x, extent, training), options.rounds)
                        copy, operators, compiled, kernel = times
                        print(
                            f"{name} {copy:9.1f} {operators:10.1f} {compiled:10.1f} {kernel:10.1f}"
                            f" {kernel / copy:8.2f} {kernel / compiled:11.2f}",
                            flush=True,
                        )
                        is_far = not training and shape == STAGES[0] and kernel > MOST_COPIES * copy
                        if is_far or kernel >= compiled:
                            missed.append(" ".join(name.split()))
    print(f"missed: {'; '.join(missed) or 'nothing'}")
    return int(bool(missed))


def ways(x: Tensor, extent: int, training: bool) -> list:
    """The calls to be timed: copy, operators, compiled, kernel."""
    torch.compiler.reset()  # each shape is compiled for itself, not for all that came before
    operators = ge_theta_minus(x.shape[1], extent=extent, impl="reference")
    modules = [
        torch.clone,
        operators,
        torch.compile(operators),
        ge_theta_minus(x.shape[1], extent=extent, impl="kernel"),
    ]
    if not training:
        return [lambda module=module: in_inference(module, x) for module in modules]
    x = x.requires_grad_()
    gradient = torch.randn_like(x)
    return [lambda module=module: torch.autograd.grad(module(x), x, gradient) for module in modules]


def in_inference(module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return module(x)


def check(x: Tensor, extent: int, tolerance: float) -> None:
    """A kernel that is wrong is not worth timing."""
    kernel, operators = (
        ge_theta_minus(x.shape[1], extent=extent, impl=impl)(x).float()
        for impl in ("kernel", "reference")
    )
    torch.testing.assert_close(kernel, operators, rtol=tolerance, atol=tolerance)


def measured(device: Cuda, calls: list, rounds: int) -> list[float]:
    """Microseconds of each, the median over rounds in which all take turns in random order."""
    seconds: list[list[float]] = [[] for _ in calls]
    for call in calls * 3:  # compiles, and warms up
        call()
    for _ in range(rounds):
        for i in random.sample(range(len(calls)), len(calls)):
            seconds[i].append(device.time_block(calls[i], 1).device_seconds)
    return [1e6 * statistics.median(each) for each in seconds]


if __name__ == "__main__":
    raise SystemExit(main())
