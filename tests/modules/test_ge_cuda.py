"""The Triton kernels: right in the interpreter and on a GPU, compiled for real targets."""

import importlib.util
import itertools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from attn_bench.modules import gather_excite
from attn_bench.modules.gather_excite import GatherExcite, ge_theta_minus

CASES = Path(__file__).with_name("ge_cuda_cases.py")
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_triton
@pytest.mark.timeout(900)  # 40 s of work, and a busy machine takes its time
@pytest.mark.parametrize("interpret", ["1", pytest.param("0", marks=needs_gpu)])
def test_cases(interpret):
    """Every case of ge_cuda_cases.py holds in Triton's interpreter, and on the GPU where one is."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(CASES)],
        env={**os.environ, "TRITON_INTERPRET": interpret},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout


@needs_triton
@pytest.mark.parametrize("capability", [80, 90])
def test_compiled_for(capability):
    """Each kernel compiles for a real GPU without one, and no register is spilled at 56×56."""
    from attn_bench.modules import ge_cuda

    grid = itertools.product(
        [0, 8, 3], [torch.contiguous_format, torch.channels_last], [False, True], [False, True]
    )
    for extent, layout, is_given, is_backward in grid:
        dtype = torch.bfloat16 if extent == 8 else torch.float32
        x = torch.empty(2, 256, 56, 56, dtype=dtype, device="meta").to(memory_format=layout)
        side = -(-56 // (extent or 56))
        logits = x.new_empty(2, 256, side, side) if is_given else None
        launches = ge_cuda._launches(
            x, x if is_backward else None, logits, x, x if logits is None else logits, extent or 56
        )
        for launch in launches:
            assert spilled_bytes(launch, capability) == 0, (launch, layout)


def spilled_bytes(launch, capability):
    """What a thread keeps in memory for want of registers, by the compiler's own account."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    pointers = {torch.float32: "*fp32", torch.bfloat16: "*bf16"}
    signature, constants, hints = {}, dict(launch.sizes), {}
    for i, (name, value) in enumerate(
        zip(launch.kernel.arg_names, launch.arguments, strict=False)  # sizes have no argument
    ):
        if value is None:
            constants[name] = None
            continue
        signature[name] = "i32" if isinstance(value, int) else pointers[value.dtype]
        hints[(i,)] = [["tt.divisibility", 16]]
    signature |= dict.fromkeys(constants, "constexpr")
    compiled = triton.compile(
        ASTSource(fn=launch.kernel, signature=signature, constexprs=constants, attrs=hints),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": launch.warps},
    )
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        told = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    return max(int(size) for size in re.findall(r"STACK:(\d+)", told.stdout))


def test_triton_is_not_imported_for_a_cpu():
    """Importing the class, and a call on a CPU, leave Triton's kernels alone."""
    script = (
        "import sys, torch\nfrom attn_bench.modules.gather_excite import ge_theta_minus as ge\n"
        "ge(8, extent=4)(torch.ones(1, 8, 16, 16))\n"
        "assert not any(name.endswith('ge_cuda') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_kernel_asked_for_in_vain():
    """It is refused with the reason: the dtype, the gate, the missing Triton."""
    x = torch.ones(1, 8, 16, 16)
    with pytest.raises(ValueError, match=r"none for float64 \(1, 8, 16, 16\) on cpu"):
        ge_theta_minus(8, extent=4, impl="kernel")(x.double())
    hard = GatherExcite(8, extent=4, gate_layer="hard_sigmoid", impl="kernel")
    with pytest.raises(ValueError, match="the gate is Hardsigmoid"):
        hard(x)


def test_without_triton(monkeypatch):
    """A kernel asked for on CUDA says what is missing; nothing else needs it."""
    monkeypatch.setattr(gather_excite, "_kernels", lambda x: None)
    x = torch.ones(1, 8, 16, 16)
    with pytest.raises(ValueError, match="Triton is not installed"):
        ge_theta_minus(8, extent=4, impl="kernel")(x)
    assert ge_theta_minus(8, extent=4)(x).shape == x.shape


@needs_gpu
def test_not_by_default():
    """On CUDA the kernels are taken where they are asked for, until they have been measured."""
    x = torch.ones(1, 8, 16, 16, device="cuda")
    module = ge_theta_minus(8, extent=4)
    assert (module._kernel(x) is not None) == gather_excite.CUDA_BY_DEFAULT
