"""Every built-in module must pass the checks of `verify`, from the day it is added.

This file lists the checks that timm is known to fail.
"""

import pytest
import timm
import torch
from packaging.specifiers import SpecifierSet

from attn_bench.catalog.registry import builtin
from attn_bench.jobs.verify import GATES, USUAL, subjects_of
from attn_bench.model.case import NOTHING
from attn_bench.worker import conformance
from attn_bench.worker.specimen import Specimen

ENTRIES = {entry.name: entry for entry in builtin()}
SUBJECTS = [subject for entry in ENTRIES.values() for subject in subjects_of(entry)]
every_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.variant.label)


def is_timm(versions):
    return timm.__version__ in SpecifierSet(versions)


def known_faults(subject):
    """The checks that this version of timm is known to fail; the comments say why."""
    variant, arguments = subject.variant, dict(subject.variant.arguments)
    if variant.module in ("coord", "timm/coord", "timm/scoord", "timm/ela", "timm/strip"):
        return {"builds"} if is_timm("<1.0.23") else set()  # this timm does not have it yet
    if variant.module == "timm/lambda":
        return {"channels_last"}  # its Conv3d has weights of five dimensions
    if variant.module != "timm/ge":
        return set()
    if subject.checks == ("refuses",):
        return {"refuses"}  # extents 6, 10, 12
    is_learned = arguments.get("extra_params", False)
    if is_timm(">=1.0.21"):  # passes `*dd` instead of `**dd`
        return {"builds"} if is_learned or arguments.get("use_mlp", True) else set()
    return {"agrees"} if is_learned and not variant.extent else set()  # pads the global gather


@every_subject
def test_every_check_is_passed_or_a_known_fault(subject):
    """Every built-in passes every check of `verify`, except for known faults of this timm."""
    failed = {}
    for check in subject.checks:
        found = conformance.verify(
            ENTRIES[subject.variant.module], subject.variant, check, device="cpu"
        )
        if found.verdict == "failed":
            failed[check] = found.reason
            if check in GATES:
                break
    assert failed.keys() == known_faults(subject), failed


@every_entry
def test_it_has_a_summary(entry):
    """Every built-in has a summary of one short line, and cites a paper by its arXiv number."""
    assert 0 < len(entry.summary) <= 80
    assert "\n" not in entry.summary
    assert entry.paper is None or entry.paper.startswith("arXiv:")


@pytest.mark.parametrize(
    "subject",
    [s for s in SUBJECTS if s.checks == USUAL and "builds" not in known_faults(s)],
    ids=lambda s: s.variant.label,
)
def test_the_output_is_memory_of_its_own(subject):
    """No built-in returns its input, so that a timing measures work; `none` is no work."""
    specimen = Specimen(ENTRIES[subject.variant.module], subject.variant, "cpu")
    x = specimen.input()
    for training in (False, True):
        with torch.no_grad():
            is_input = specimen.build().train(training)(x).data_ptr() == x.data_ptr()
            assert is_input == (subject.variant.module == NOTHING)
