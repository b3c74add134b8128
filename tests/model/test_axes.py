"""An unusual value of an axis is always visible in the title of the table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attn_bench.model.axes import AXES, AXIS_NAMES, Axis
from attn_bench.model.row import Row
from attn_bench.view.summary import group_title

USUAL = Row(
    case_id="se/1x8x4x4", module="se", variant="se", channels=8, height=4, width=4, batch=1,
    status="ok",
)  # fmt: skip
UNUSUAL = [(axis, value) for axis in AXES for value in axis.values if value != axis.usual]


@pytest.mark.parametrize(("axis", "value"), UNUSUAL, ids=[f"{a.name}={v}" for a, v in UNUSUAL])
def test_an_unusual_value_is_seen(axis: Axis, value: str) -> None:
    """It changes the title, and not the name."""
    row = replace(USUAL, **{axis.name: value})
    assert row.name == USUAL.name
    assert axis.in_words(value) in group_title(row)
    assert group_title(row) != group_title(USUAL)


def test_a_value_without_words_is_its_own_word() -> None:
    """An execution that is new is seen in the title from the first day: `1×8×4×4 new runtime`."""
    row = replace(USUAL, execution="new_runtime")  # type: ignore[arg-type]
    assert group_title(row) == "1×8×4×4 new runtime"


def test_no_two_values_read_alike() -> None:
    """Within an axis all values have different words."""
    for axis in AXES:
        assert len({axis.in_words(value) for value in axis.values}) == len(axis.values)


def test_conditions_of_a_row_are_the_axes() -> None:
    """A row has a field for every axis, with its usual value unless given."""
    assert [getattr(USUAL, name) for name in AXIS_NAMES] == [axis.usual for axis in AXES]
