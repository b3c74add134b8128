"""What a check and the console say, from the values that jobs return."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from test_ci import INFO

from attn_bench.jobs.check.notes import Note, NoteKind, note
from attn_bench.jobs.check.stored import find_changed_code, list_own_warnings
from attn_bench.model.row import Row
from attn_bench.view.console.plain import print_aligned
from attn_bench.view.notes import WORDS, describe
from attn_bench.view.remarks import list_notes


def test_every_note_has_words() -> None:
    """The kinds of notes and their words are the same list."""
    assert set(WORDS) == set(get_args(NoteKind))


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (
            note("time_compared", baseline="identity", sd=0.013, is_measured=True),
            "time is compared by ratios to identity; they differ from run to run by ± 1.3 % "
            "(measured by `selfcheck`, at least 1 %)",
        ),
        (
            note("time_not_compared", cause="software", key="torch", then="2.1", now="2.2"),
            "time was not compared: the software differs (torch: 2.1, now 2.2)",
        ),
        (
            note("time_not_compared", cause="threads", key=None, then=1, now=2),
            "time was not compared: the number of threads differs (1, now 2)",
        ),
        (
            note("time_not_compared", cause="other_load", run="current", cores=0.8),
            "time was not compared: other processes used 0.8 cores during the new run; measure it "
            "again without them, or with --threads 1",
        ),
        (
            note("smallest_visible", seconds=5.0, fraction=0.021),
            "a run of 5 s a case sees a slowdown of 2.1 % on this machine (by `selfcheck`)",
        ),
    ],
)
def test_a_note_in_words(of: Note, words: str) -> None:
    """A note is one plain sentence with its facts."""
    assert describe(of) == words


def test_wide_letters_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """A column is as wide as its letters are on a terminal, also where they take two cells."""
    print_aligned([["注意", "1"], ["se", "22"]], [False, True])
    assert capsys.readouterr().out == "注意   1\nse    22\n"


def test_a_warning_of_a_module_is_shown() -> None:
    """That the kernel is missing changes the figures; what will change later is left out."""
    row = Row(case_id="a", module="ge_theta_minus", variant="ge_theta_minus")
    lost = "warned: RuntimeWarning: Gather-Excite runs on PyTorch's operators: no compiler"
    later = "warned: FutureWarning: gone in 3.0"
    info = replace(INFO, notes={"a": (lost, later)})
    assert list_notes([row], info) == [f"note: ge_theta_minus: {lost}"]


def test_packages_count_as_code_only_where_both_runs_know_them() -> None:
    """A run without users' files keeps none, which is no difference."""
    alone = replace(INFO, sources={"attn_bench.modules": "1"})
    own = replace(INFO, sources={"attn_bench.modules": "1", "mine": "2", "package torch": "2.9"})
    newer = replace(own, sources={**own.sources, "package torch": "2.10"})
    assert find_changed_code(alone, own) == ["mine"]
    assert find_changed_code(own, newer) == ["package torch"]


def test_a_warning_that_only_one_run_has_is_told() -> None:
    """Without its kernel, Gather-Excite is other code: a comparison of two runs says so."""
    lost = "warned: RuntimeWarning: Gather-Excite runs on PyTorch's operators: no compiler"
    later = "warned: FutureWarning: gone in 3.0"
    without = replace(INFO, notes={"a": (lost, later), "b": (lost,)})
    (said,) = list_own_warnings(INFO, without)
    assert describe(said) == f"only the new run warned, in 2 cases: {lost.removeprefix('warned: ')}"
    (said,) = list_own_warnings(without, INFO)
    assert describe(said).startswith("only the old run warned")
    assert list_own_warnings(without, without) == []
