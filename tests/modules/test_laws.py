"""Laws over the whole built-in registry: a module is held to them from the day it is added."""

import copy

import pytest
import timm
import torch
from packaging.specifiers import SpecifierSet
from weights import randomised

from attn_bench.registry import Entry, builtin

BATCH, CHANNELS = 2, 64
EXTENTS = {None: [None], "any": [2, 3, "global"], "power_of_two": [2, 4, "global"]}


def extents_of(rule):
    """Some of each rule; a list is taken up to 4, with its global one."""
    if isinstance(rule, tuple):
        return [extent for extent in rule if extent in (2, 4, "global")]
    return EXTENTS[rule]


# (height, width) of the maps. Two layers of timm cut the map into blocks and take no other size.
SIZE = {
    "timm/bat": (14, 14),  # multiples of its block of 7
    "timm/halo": (16, 8),  # multiples of its block of 8
}
USUAL_SIZE = (16, 13)

# What a version of timm is known not to build: which versions, what they raise, and why.
KNOWN_FAULTS = {
    "timm/ge": (">=1.0.21", TypeError),  # its GatherExcite hands on `*dd` for `**dd`
    "timm/coord": ("<1.0.23", AssertionError),  # not there yet, and so the next four
    "coord": ("<1.0.23", AssertionError),
    "timm/scoord": ("<1.0.23", AssertionError),
    "timm/ela": ("<1.0.23", AssertionError),
    "timm/strip": ("<1.0.23", AssertionError),
}
FAULTY = {
    name: error
    for name, (versions, error) in KNOWN_FAULTS.items()
    if timm.__version__ in SpecifierSet(versions)
}


def size(entry: Entry):
    return SIZE.get(entry.name, USUAL_SIZE)


def build(entry: Entry, extent, seed=0):
    return randomised(entry.build(CHANNELS, size(entry), extent), seed).eval()


def maps(entry: Entry, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, CHANNELS, *size(entry), generator=generator).to(dtype)


every_entry = pytest.mark.parametrize("entry", list(builtin()), ids=lambda entry: entry.name)
every_variant = pytest.mark.parametrize(
    ("entry", "extent"),
    [
        pytest.param(entry, extent, id=entry.name if extent is None else f"{entry.name}-{extent}")
        for entry in builtin()
        if entry.name not in FAULTY
        for extent in extents_of(entry.extents)
    ],
)


@every_entry
def test_it_builds_or_is_a_known_fault(entry):
    """Every built-in is buildable, but for the faults of this version of timm, and only those."""
    if entry.name in FAULTY:
        with pytest.raises(FAULTY[entry.name]):
            entry.build(CHANNELS, size(entry), None)
    else:
        entry.build(CHANNELS, size(entry), extents_of(entry.extents)[0])


@every_entry
def test_it_says_what_it_is(entry):
    """Every built-in has a summary of one short line, and a paper, if any, by its arXiv number."""
    assert 0 < len(entry.summary) <= 80
    assert "\n" not in entry.summary
    assert entry.paper is None or entry.paper.startswith("arXiv:")


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_are_kept(entry, extent, dtype):
    """The output has the shape and the dtype of the input, in evaluation and in training."""
    module = build(entry, extent).to(dtype)
    for training in (False, True):
        got = module.train(training)(maps(entry, dtype))
        assert (got.shape, got.dtype) == (maps(entry).shape, dtype)
        assert got.isfinite().all()


@every_variant
def test_evaluation_is_deterministic(entry, extent):
    """The same input gives the same bits twice."""
    module = build(entry, extent)
    assert torch.equal(module(maps(entry)), module(maps(entry)))


@every_variant
def test_rows_of_a_batch_are_independent(entry, extent):
    """In evaluation, what a row of a batch gives does not depend on the other rows."""
    module = build(entry, extent).double()
    together = module(maps(entry, torch.float64))
    alone = torch.cat([module(row[None]) for row in maps(entry, torch.float64)])
    torch.testing.assert_close(together, alone)


@every_variant
def test_state_makes_the_round_trip(entry, extent):
    """Another instance with the first one's state dict computes what the first one does."""
    first = build(entry, extent)
    second = build(entry, extent, seed=9)
    second.load_state_dict(copy.deepcopy(first.state_dict()), strict=True)
    assert torch.equal(second(maps(entry)), first(maps(entry)))


@every_variant
def test_gradients_reach_the_input_and_every_parameter(entry, extent):
    """A training step has a finite gradient by the input and by each parameter."""
    module, x = build(entry, extent).train(), maps(entry).requires_grad_()
    module(x).square().mean().backward()
    gradients = {"input": x.grad} | {name: p.grad for name, p in module.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@every_variant
def test_the_input_is_left_as_it_was(entry, extent):
    """Neither mode writes to the input, and the output is memory of its own."""
    x = maps(entry)
    for training in (False, True):
        got = build(entry, extent).train(training)(x)
        assert torch.equal(x, maps(entry))
        assert got.data_ptr() != x.data_ptr()
