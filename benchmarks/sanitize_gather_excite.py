"""Runs Gather-Excite's CPU kernel under AddressSanitizer and UndefinedBehaviorSanitizer.

    python benchmarks/sanitize_gather_excite.py [--shapes 200] [--large]

The kernel is compiled with both sanitizers into a temporary cache, and loaded by a second process
with their runtime before everything else. It checks random shapes against float64, and extreme
ones: no image, no channel, one row, one column, channels_last with one channel, storage that is
misaligned, strides of 0, non-contiguous slices. --large adds an input of more than 2^31 elements
and one with such strides, which takes 12 GB of memory. An access outside of a tensor, or an
undefined operation, ends the process.

Prints one line. Status 0: nothing was found; 1: something was, with its report; 2: this machine has
no GCC with sanitizers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g"
OPTIONS = {
    # Python and torch keep memory until the end, and torch's own libraries are not instrumented.
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
INSIDE = "--inside"


def find_runtimes(compiler: str) -> list[str]:
    """The libraries of the sanitizers; empty if the compiler has none."""
    found = []
    for name in ("libasan.so", "libubsan.so", "libstdc++.so"):
        words = [compiler, f"-print-file-name={name}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        path = Path(done.stdout.strip())
        if done.returncode or not path.is_absolute():
            return []
        found.append(str(path.resolve()))
    return found


def extreme_inputs() -> Iterator[tuple[str, object]]:
    """Inputs at the edges of what a kernel may be given."""
    import torch

    for shape in [
        (0, 8, 7, 7),
        (2, 0, 7, 7),
        (2, 8, 0, 7),
        (2, 8, 7, 0),
        (1, 1, 1, 1),
        (3, 5, 1, 40),
    ]:
        yield f"shape {shape}", torch.randn(shape)
    for shape in [(3, 5, 40, 1), (1, 1, 3, 3), (2, 17, 5, 3), (1, 33, 2, 257), (1, 3, 257, 2)]:
        x = torch.randn(shape)
        yield f"channels_last {shape}", x.to(memory_format=torch.channels_last)
        yield f"bfloat16 {shape}", x.bfloat16().to(memory_format=torch.channels_last)
    for dtype in (torch.float32, torch.bfloat16):
        for offset in (1, 3):
            storage = torch.randn(2 * 16 * 14 * 14 + offset).to(dtype)
            yield f"{dtype} at {offset}", storage[offset:].view(2, 16, 14, 14)
        yield f"{dtype} expanded", torch.randn(1, 16, 1, 1).to(dtype).expand(2, 16, 14, 14)
        whole = torch.randn(4, 32, 28, 28).to(dtype)
        yield f"{dtype} slice", whole[::2, ::3, 1:-1, ::2]
        yield f"{dtype} transposed", whole.transpose(2, 3)
        yield f"{dtype} backwards", whole.permute(3, 2, 1, 0)[:6, :8]


def check_inside(shapes: int, *, large: bool) -> int:
    """What the second process does. Returns the number of checks."""
    sys.path.insert(0, str(ROOT / "tests" / "modules"))
    import ge_random
    import torch

    from attn_bench.modules import ge_build, ge_cpu

    assert ge_build.load_library() is not None, "the kernel was not compiled"
    done = 0
    for seed in range(shapes):
        (ge_random.check_gather if seed % 2 else ge_random.check_excite)(seed)
        done += 1
    for name, given in extreme_inputs():
        assert isinstance(given, torch.Tensor)
        for extent in (0, 2, 8):
            x = given.detach().requires_grad_()
            y = ge_cpu.excite(x, None, extent)
            y.backward(torch.ones_like(y))
            assert y.shape == x.shape, name
            done += 1
    return done + (check_large() if large else 0)


def check_large() -> int:
    """Inputs whose last element lies beyond 2^31, in one tensor and by stride."""
    import torch

    from attn_bench.modules import ge_cpu

    done = 0
    with torch.no_grad():
        whole = torch.ones(1, 32_800, 256, 256, dtype=torch.bfloat16)
        far = whole.as_strided((2, 8, 16, 16), (whole.numel() - 2_048, 256, 16, 1))
        for x in (whole, far):
            for extent in (0, 16):
                y = ge_cpu.excite(x, None, extent)
                assert y.flatten()[-1].item() == y.flatten()[0].item() > 0.7
                del y
                done += 1
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", type=int, default=200)
    parser.add_argument("--large", action="store_true")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(check_inside(options.shapes, large=options.large))
        return 0
    compiler = os.environ.get("CXX") or shutil.which("g++") or ""
    runtimes = find_runtimes(compiler) if compiler else []
    if not runtimes:
        print("sanitize_gather_excite: this machine has no GCC with sanitizers", file=sys.stderr)
        return 2
    words = [INSIDE, "--shapes", str(options.shapes), *(["--large"] if options.large else [])]
    with tempfile.TemporaryDirectory(prefix="attn-bench-") as cache:
        Path(cache).chmod(0o700)
        done = subprocess.run(
            [sys.executable, __file__, *words],
            env={
                **os.environ,
                **OPTIONS,
                "CXX": f"{compiler} {SANITIZERS}",
                "XDG_CACHE_HOME": cache,
                "LD_PRELOAD": " ".join(runtimes),
                "PYTHONPATH": str(ROOT),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        print(done.stdout + done.stderr[-6000:], file=sys.stderr)
        return 1
    checks = done.stdout.strip().splitlines()[-1]
    print(f"gather_excite: {checks} checks under AddressSanitizer and UBSan, nothing found")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
