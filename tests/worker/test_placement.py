"""From round to round, input and output lie in another place."""

from __future__ import annotations

import pytest
import torch

from attn_bench.catalog.registry import builtin
from attn_bench.model.case import Case, Shape, Variant
from attn_bench.worker.build import Builder, Built
from attn_bench.worker.devices.base import open_device
from attn_bench.worker.placement import MOST_BYTES, PLACES, Places

SHAPE = Shape(2, 64, 32, 32)
CASES = {
    "inference": Case(Variant("se"), SHAPE),
    "training": Case(Variant("se"), SHAPE, mode="training"),
    "channels_last": Case(Variant("se"), SHAPE, memory_format="channels_last"),
}


def build(case: Case) -> Built:
    return Builder(open_device("cpu"), builtin()).build(case)


@pytest.mark.parametrize("what", CASES)
def test_the_result_does_not_depend_on_the_place(what: str) -> None:
    """The same values, in the same layout, from another address; afterwards all is as before."""
    built, places = build(CASES[what]), Places()
    usual, strides = built.x.data_ptr(), built.x.stride()
    addresses, results = set(), []
    for number in range(2 * PLACES):
        with places.at(built, number), built.mode():
            addresses.add(built.x.data_ptr())
            assert built.x.stride() == strides
            found = built.call()
            results.append(found if isinstance(found, torch.Tensor) else found[0])
        assert built.x.data_ptr() == usual
    assert len(addresses) == PLACES
    assert all(torch.equal(result, results[0]) for result in results)


def test_cases_of_one_shape_have_the_same_places() -> None:
    """What is compared has the same input at the same address."""
    builder, places = Builder(open_device("cpu"), builtin()), Places()
    found = []
    for name in ("se", "identity"):
        built = builder.build(Case(Variant(name), SHAPE))
        with places.at(built, 1):
            found.append(built.x.data_ptr())
    assert found[0] == found[1]


def test_a_large_input_stays_in_place() -> None:
    """Copies of it would take too much memory."""
    shape = Shape(1, 1, 4096, 2100)
    assert shape.elements * 4 > MOST_BYTES
    built = build(Case(Variant("identity"), shape))
    usual = built.x.data_ptr()
    with Places().at(built, 1):
        assert built.x.data_ptr() == usual
