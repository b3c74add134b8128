"""Conditions on columns are read, never executed."""

from __future__ import annotations

import pytest

from attn_bench.model.condition import Condition
from attn_bench.model.errors import RequestError

ROW = {"module": "se", "extent": None, "channels": 256, "ratio": 1.5}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("channels == 256", True),
        ("channels in (64, 256) and not ratio > 2", True),
        ("module in ['cbam']", False),
        ("1 < ratio <= 1.5", True),
        ("extent > 2", False),
        ("extent != 2", True),
        ("module > 3", False),
        ("ratio < -1 or module == 'se'", True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    """Comparisons mean what they mean in Python; one with an empty cell is false."""
    assert Condition(text, ROW)(ROW) is holds


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "module.upper() == 'SE'",
        "ratio + 1 > 2",
        "x := 3",
        "",
        "ratio is 3",
        "1if ratio else 2",
        "(",
    ],
)
@pytest.mark.filterwarnings("error")
def test_nothing_else_is_a_condition(text: str) -> None:
    """Calls, attributes, arithmetic and broken syntax are refused in one line without warnings."""
    with pytest.raises(RequestError) as caught:
        Condition(text, ROW)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("module = 'se'", "use == for equal"),
        ("module == se", "a text needs quotes: 'se'"),
        ("2 < rato", "did you mean 'ratio'"),
    ],
)
def test_a_usual_mistake_has_its_advice(text: str, advice: str) -> None:
    """One equals sign, a text without quotes and a misspelt column each say what to write."""
    with pytest.raises(RequestError) as caught:
        Condition(text, ROW)
    assert advice in str(caught.value)
