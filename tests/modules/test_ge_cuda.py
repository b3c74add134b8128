"""The Triton kernels: their cases in the interpreter and on a GPU, and what they compile to."""

import importlib
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

from attn_bench.modules import ge_dispatch
from attn_bench.modules.gather_excite import GatherExcite, ge_theta_minus

CASES = Path(__file__).with_name("ge_cuda_cases.py")
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_triton
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
@pytest.mark.parametrize(
    ("capability", "layout"), [(80, torch.channels_last), (90, torch.contiguous_format)]
)
def test_compiled_for(capability, layout):
    """Without a GPU each kernel compiles for one, and spills no register at 56×56."""
    from attn_bench.modules import ge_cuda

    for extent, is_given, is_backward in itertools.product([0, 8, 3], [False, True], [False, True]):
        dtype = torch.bfloat16 if extent == 8 else torch.float32
        x = torch.empty(2, 256, 56, 56, dtype=dtype, device="meta").to(memory_format=layout)
        side = -(-56 // (extent or 56))
        logits = x.new_empty(2, 256, side, side) if is_given else None
        launches = ge_cuda.plan_launches(
            x, x if is_backward else None, logits, x, x if logits is None else logits, extent or 56
        )
        for launch in launches:
            assert spilled_bytes(launch, capability) == 0, (launch, layout)


def spilled_bytes(launch, capability):
    """The bytes that a thread keeps in memory for lack of registers, from the compiler's report."""
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
        report = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    return max(int(size) for size in re.findall(r"STACK:(\d+)", report.stdout))


def test_triton_is_not_imported_for_a_cpu(monkeypatch):
    """Importing the class, and a call on a CPU, do not import Triton's kernels."""
    other = load_other_version(monkeypatch)
    assert other.ge_theta_minus(8, extent=4)(torch.ones(1, 8, 16, 16)).shape == (1, 8, 16, 16)
    assert not [name for name in sys.modules if re.match(r"other_version\.ge_(cuda|triton)", name)]


def test_two_versions_side_by_side_have_operators_of_their_own(monkeypatch):
    """A second version of the files does not replace the operators of the first one."""
    other = load_other_version(monkeypatch)
    x = torch.randn(1, 8, 16, 16)
    assert torch.equal(other.ge_theta_minus(8, extent=4)(x), ge_theta_minus(8, extent=4)(x))
    namespaces = {kernels.ge_cpu.NAMESPACE for kernels in (other.ge_dispatch, ge_dispatch)}
    assert len(namespaces) == 2
    for namespace in namespaces:
        assert hasattr(getattr(torch.ops, namespace), "excite")


def load_other_version(monkeypatch):
    """Gather-Excite as `check --against` loads it: the same files in a package of another name."""
    start = Path(ge_dispatch.__file__).with_name("__init__.py")
    spec = importlib.util.spec_from_file_location(
        "other_version", start, submodule_search_locations=[str(start.parent)]
    )
    package = importlib.util.module_from_spec(spec)
    for name in [name for name in sys.modules if name.startswith("other_version")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "other_version", package)
    spec.loader.exec_module(package)
    return importlib.import_module("other_version.gather_excite")


def test_a_kernel_that_cannot_compute_the_input():
    """It is refused, and the message gives the dtype or the gate as the reason."""
    x = torch.ones(1, 8, 16, 16)
    with pytest.raises(ValueError, match=r"no kernel supports float64 \(1, 8, 16, 16\) on cpu"):
        ge_theta_minus(8, extent=4, impl="kernel")(x.double())
    hard = GatherExcite(8, extent=4, gate_layer="hard_sigmoid", impl="kernel")
    with pytest.raises(ValueError, match="the gate is Hardsigmoid"):
        hard(x)


def test_without_triton(monkeypatch):
    """The kernel for CUDA is refused with the reason; "auto" uses PyTorch's operators."""
    monkeypatch.setattr(ge_dispatch, "kernels_for", lambda x: None)
    x = torch.ones(1, 8, 16, 16)
    with pytest.raises(ValueError, match="Triton is not installed"):
        ge_theta_minus(8, extent=4, impl="kernel")(x)
    assert ge_theta_minus(8, extent=4)(x).shape == x.shape


@needs_gpu
def test_not_by_default():
    """On CUDA "auto" uses the kernels only if `CUDA_BY_DEFAULT` is true."""
    x = torch.ones(1, 8, 16, 16, device="cuda")
    module = ge_theta_minus(8, extent=4)
    assert (ge_dispatch.choose(module, x).fused is not None) == ge_dispatch.CUDA_BY_DEFAULT
