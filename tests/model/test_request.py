"""A run request, and the options that make one from the command line and from Python."""

from __future__ import annotations

from math import inf, nan, nextafter
from typing import get_type_hints

import click
import pytest

from attn_bench.cli.options import measuring_options, request_of
from attn_bench.model.errors import RequestError
from attn_bench.model.request import RUN_OPTIONS, RunKeywords, RunOption, RunRequest, make_request

NUMBERS = [fact for fact in RUN_OPTIONS.values() if fact.kind in (int, float)]


def typed(*words: str) -> RunRequest:
    """What the command line makes of these words."""

    @click.command()
    @measuring_options("run")
    def command(**options: object) -> RunRequest:
        return request_of(options)

    request = command.main(["--suite", "smoke", *words], standalone_mode=False)
    assert isinstance(request, RunRequest)
    return request


def edges(fact: RunOption) -> list[float]:
    """Numbers on both sides of every bound."""
    bounds = [bound for bound in (fact.least, fact.more_than, fact.most) if bound is not None]
    if fact.kind is int:
        return [round(bound) + step for bound in bounds or [0] for step in (-1, 0, 1)]
    sides = [nextafter(bound, side) for bound in bounds for side in (-inf, inf)]
    return [*bounds, *sides, inf, -inf, nan]


@pytest.mark.parametrize("fact", NUMBERS, ids=lambda fact: fact.name)
def test_both_ways_accept_the_same_numbers(fact: RunOption) -> None:
    """The command line and Python accept the same numbers, and make the same value of them."""
    for number in edges(fact):
        if is_accepted(fact, number):
            made = typed(f"--{fact.name}", repr(number))
            assert getattr(made, fact.field) == fact.read(number)
        else:
            with pytest.raises(click.BadParameter):
                typed(f"--{fact.name}", repr(number))


def is_accepted(fact: RunOption, number: float) -> bool:
    try:
        make_request({"suite": "smoke", fact.name: number}, ())
    except RequestError:
        return False
    return True


def test_defaults_are_those_of_the_request() -> None:
    """Without options both ways give the defaults of RunRequest, but for the words typed."""
    made = make_request({"suite": "smoke"}, typed().command)
    assert made == typed() == RunRequest("smoke", command=made.command)


def test_a_device_may_have_an_index() -> None:
    """`cuda:1` is a device, in Python as on the command line."""
    assert make_request({"suite": "smoke", "device": "cuda:1"}, ()).device == "cuda:1"
    assert typed("--device", "cuda:1").device == "cuda:1"


def test_percent_becomes_a_fraction() -> None:
    """A precision is given in percent and kept as a fraction."""
    assert typed("--precision", "3").precision == 0.03


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("sessions", True, "an integer from 1 up to 100"),
        ("sessions", 2.0, "an integer from 1 up to 100"),
        ("budget", "3", "a number above 0 up to 10000000 (SECONDS)"),
        ("modules_from", "mine.py", "a sequence of files"),
        ("device", None, "one of cpu, cuda, cuda:INDEX, auto"),
        ("device", "cuda:one", "one of cpu, cuda, cuda:INDEX, auto"),
        ("where", 3, "text"),
        ("quick", 1, "True or False"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: object, rule: str) -> None:
    """A value of the wrong type is refused in one line that states the rule."""
    with pytest.raises(RequestError) as caught:
        make_request({"suite": "smoke", name: value}, ())
    assert str(caught.value) == f"{name}={value!r}: must be {rule}"


def test_keywords_for_editors_are_the_options() -> None:
    """RunKeywords, which editors read, names every option but the suite."""
    assert {"suite", *get_type_hints(RunKeywords)} == set(RUN_OPTIONS)
