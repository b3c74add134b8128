"""Random calls of Gather-Excite's CPU kernel, held to float64: a few are tests, more are the soak.

`benchmarks/soak_gather_excite.py` runs the same checks on 500 shapes.
"""

import random

import ge_oracle
import torch
import torch.nn.functional as F
from weights import randomised

from attn_bench.modules import ge_cpu, ge_ops
from attn_bench.modules.gather_excite import ge_theta, ge_theta_plus

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
LAYOUTS = [torch.contiguous_format, torch.channels_last]
LEARNED = {"theta": ge_theta, "theta_plus": ge_theta_plus}


def reference(x, logits, extent):
    """In float64, by PyTorch's operators; only the choice of the nearest gate is shared."""
    if logits is None and extent:
        logits = F.avg_pool2d(x, 2 * extent - 1, extent, extent - 1, count_include_pad=False)
    elif logits is None:
        logits = x.mean((2, 3), keepdim=True)
    height, width = x.shape[-2:]
    rows, columns = ge_ops.sources(height, width, extent or max(height, width))
    return x * logits.sigmoid()[:, :, rows.long()][:, :, :, columns.long()]


def error(found, expected):
    """The largest error, relative to the largest expected element."""
    found, expected = found.detach().double(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def check_excite(seed):
    """Forward and gradients agree with `reference`, and two runs give the same bits."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    shape = rng.randint(1, 3), rng.randint(1, 40), rng.randint(1, 70), rng.randint(1, 70)
    extent = rng.choice([0, 2, 3, 4, 5, 7, 8, 16])
    dtype, layout = rng.choice(list(TOLERANCE)), rng.choice(LAYOUTS)
    x, gradient = (torch.randn(shape).to(dtype, memory_format=layout) for _ in range(2))
    inputs = [x.requires_grad_()]
    if rng.random() < 0.5:
        size = [-(-side // extent) if extent else 1 for side in shape[2:]]
        inputs.append(torch.randn(*shape[:2], *size).to(dtype).requires_grad_())
    absent = [None] * (2 - len(inputs))
    doubles = [tensor.detach().double().requires_grad_() for tensor in inputs]
    expected = reference(*doubles, *absent, extent)
    expected_gradients = torch.autograd.grad(expected, doubles, gradient.double())
    runs = []
    for _ in range(2):
        found = ge_cpu.excite(*inputs, *absent, extent)
        runs.append([found, *torch.autograd.grad(found, inputs, gradient)])
    assert runs[0][0].stride() == x.stride() or 1 in shape
    for one, again in zip(*runs, strict=True):
        assert torch.equal(one, again)
    for one, other in zip(runs[0], [expected, *expected_gradients], strict=True):
        assert error(one, other) < TOLERANCE[dtype], (seed, shape, extent, dtype, layout)


def check_gather(seed):
    """A learned form agrees with the oracle, and two runs give the same bits."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    form, extent = rng.choice(list(LEARNED)), rng.choice([0, 2, 4, 8, 16])
    sides = [rng.choice([1, 2, 7, 8, 15, 16, 17, rng.randint(1, 40)]) for _ in range(2)]
    shape = rng.randint(1, 3), rng.randint(1, 40), *sides
    dtype, layout = rng.choice(list(TOLERANCE)), rng.choice(LAYOUTS)
    module = randomised(LEARNED[form](shape[1], shape[2:], extent, impl="kernel")).eval().to(dtype)
    x = torch.randn(shape).to(dtype, memory_format=layout)
    state = {name: value.double().numpy() for name, value in module.state_dict().items()}
    expected = ge_oracle.gather_excite(x.double().numpy(), state, form, extent)
    with torch.inference_mode():
        found, again = module(x), module(x)
    assert torch.equal(found, again)
    assert found.dtype == dtype
    assert found.stride() == x.stride() or 1 in shape
    worst = error(found, torch.from_numpy(expected))
    assert worst < TOLERANCE[dtype], (seed, form, shape, extent, dtype, layout)
