"""Times Gather-Excite's Triton kernel on a GPU.

    python benchmarks/ge_cuda.py

Prints the median device time, in µs, of four implementations at ResNet-50's stages with batch 64: a
copy of the input, PyTorch's operators, these operators compiled, and the kernel. It also prints the
kernel's ratios to the copy and to the compiled operators. The implementations alternate in random
order, and each call follows a flush of the L2 cache. The goals are at most 1.5 copies at 256×56×56
in inference, and a kernel faster than the compiled operators at every shape. The last line lists
the missed goals. Status 0: none; 1: some; 2: this machine has no GPU.
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
    if not Cuda.count():
        print("benchmarks/ge_cuda.py: needs a CUDA device, found none", file=sys.stderr)
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
    """The calls to time: copy, operators, compiled, kernel."""
    torch.compiler.reset()  # compiles each shape separately, without dynamic shapes
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
    """Check the results of the kernel before timing it."""
    kernel, operators = (
        ge_theta_minus(x.shape[1], extent=extent, impl=impl)(x).float()
        for impl in ("kernel", "reference")
    )
    torch.testing.assert_close(kernel, operators, rtol=tolerance, atol=tolerance)


def measured(device: Cuda, calls: list, rounds: int) -> list[float]:
    """The median microseconds of each call over rounds; the order in a round is random."""
    seconds: list[list[float]] = [[] for _ in calls]
    for call in calls * 3:  # compiles, and warms up
        call()
    for _ in range(rounds):
        for i in random.sample(range(len(calls)), len(calls)):
            seconds[i].append(device.time_block(calls[i], 1).device_s)
    return [1e6 * statistics.median(each) for each in seconds]


if __name__ == "__main__":
    raise SystemExit(main())
