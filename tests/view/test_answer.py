"""The answer of a run, and the formats that a paper or a README takes."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from program import ROOT
from rich.console import Console
from test_ci import FINDINGS, INFO
from test_summary import over, row

from attn_bench.model.case import PLAIN
from attn_bench.model.errors import RequestError
from attn_bench.model.row import Row
from attn_bench.model.run import CheckAnswer
from attn_bench.model.text import latex
from attn_bench.store import runs
from attn_bench.store.runs import StoredRun
from attn_bench.view.answer import Answer, find_answer
from attn_bench.view.console.tables import Column, print_table
from attn_bench.view.run_formats import FORMATS

REFERENCE = ROOT / "results" / "reference" / "ge_extents-cpu"
TIED = [
    row("a", 200, 8, **over(1, 1, 1)),
    row("b", 300, 9, **over(1.5, 1.42, 1.58)),
    row("a", 20, 1, height=28, **over(1, 1, 1)),
    row("b", 21, 1, height=28, **over(1.05, 1.01, 1.09)),
    row("a", 20, 1, height=14, **over(1, 1, 1)),
    row("b", 20, 1, height=14, **over(1.0, 0.9, 1.1)),
]


def ratio(value: float, lo: float, hi: float) -> dict[str, object]:
    return {"ratio": value, "ratio_lo": lo, "ratio_hi": hi}


def answer(*rows: Row) -> Answer:
    found = find_answer(StoredRun(Path("nowhere"), INFO, rows))
    assert found is not None
    return found


def test_the_winner_is_named() -> None:
    """Sentences tell who is the fastest at how many shapes, and how much longer others take."""
    assert answer(*TIED).sentences == (
        "a is the fastest at 2 of 3 shapes; b takes 1.05 to 1.50 times as long.",
        "a and b cannot be told apart at 8×256×14×56: they are the fastest.",
    )


def test_the_small_table_has_a_line_for_each_shape() -> None:
    """It names the fastest, its latency, and the next module with its interval."""
    assert answer(*TIED).lines == (
        ("8×256×56×56", "a", "0.200 ± 0.008 ms", "b", "1.50 ± 0.08 ×"),
        ("8×256×28×56", "a", "0.0200 ± 0.0010 ms", "b", "1.05 ± 0.04 ×"),
        ("8×256×14×56", "a and b", "0.0200 ± 0.0010 ms", "", ""),
    )


def test_many_ties_are_one_sentence() -> None:
    """A run with ties at several shapes does not list them in sentences."""
    rows = [replace(each, height=height) for height in (7, 14) for each in TIED[4:]]
    assert answer(*rows).sentences == (
        "Several modules are the fastest within the measurement error at both shapes.",
    )


def test_a_run_without_known_latencies_says_so() -> None:
    """Where no latency is known, the answer is that there is none."""
    unknown = {"latency_us": None, "ratio": None, "status": "unclear"}
    found = answer(row("a", 200, 90, **unknown), row("b", 200, 90, **unknown))
    assert found.sentences == ("No latency is known well enough to name the fastest module.",)


def test_the_answer_of_networks_is_a_change() -> None:
    """Networks are compared by what a module adds to the plain one."""
    network = {"backbone": "resnet18", "place": "block"}
    found = answer(
        row(PLAIN, 40_000, 400, **network),
        row("se", 41_000, 400, **network, **over(1, 1, 1), **ratio(1.02, 1.01, 1.03)),
        row("cbam", 46_000, 400, **network, **over(1.18, 1.17, 1.19), **ratio(1.2, 1.19, 1.21)),
    )
    (sentence,) = found.sentences
    assert sentence.startswith("se adds the least latency to resnet18 8×256×56×56: +2.0 ± 1.0 %")
    assert found.lines[0][-2:] == ("cbam", "+20.0 ± 1.0 %")


def test_the_answer_of_a_check_is_its_findings() -> None:
    """A kept check begins with its verdicts, and its table is of what changed."""
    kept = CheckAnswer("main", 1, (), tuple(asdict(each) for each in FINDINGS))
    found = find_answer(StoredRun(Path("nowhere"), replace(INFO, check=kept), ()))
    assert found is not None
    assert found.title == "Against main"
    assert found.sentences[0] == "5 cases: 1 slower, 1 failed, 1 undecided, 1 new, 1 same."
    assert found.lines[0][0] == "slower"


def test_a_table_without_extents_has_no_column_for_them() -> None:
    """Markdown and LaTeX have the column where a module of the shape has an extent."""
    rows = [row("a", 200, 8), row("b", 300, 9)]
    text = FORMATS["markdown"](StoredRun(Path("nowhere"), INFO, rows), [])
    assert "| module | latency" in text
    assert "extent" not in text


@pytest.mark.parametrize("width", [40, 80, 100, 140])
def test_a_wide_table_is_printed_in_parts(width: int) -> None:
    """Each part repeats the first column; nothing is cut, and no line is wider than the console."""
    console = Console(file=io.StringIO(), width=width)
    columns = [Column("module", "left"), *(Column(f"metric {i}") for i in range(12))]
    body = [["se", *(f"{i}.123 ± 0.001" for i in range(12))]]
    print_table(console, columns, body)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    for i in range(12):
        assert f"metric {i}" in text
        assert f"{i}.123 ± 0.001" in text
    assert text.count("module") == text.count("se ") > 0


def test_markdown_begins_with_the_answer() -> None:
    """Sentences first, then the small table, then the tables with intervals, then the remarks."""
    text = FORMATS["markdown"](runs.load(REFERENCE), [])
    places = [
        text.index(words)
        for words in (
            "**ge_theta_minus(global) is",
            "| shape | fastest |",
            "#### 8×256",
            "- For nine",
        )
    ]
    assert places == sorted(places)
    assert "| se |  | 1.10 ± 0.03 |" in text
    assert text == FORMATS["md"](runs.load(REFERENCE), [])


def test_chosen_columns_have_the_digits_of_their_interval() -> None:
    """A chosen column of Markdown or LaTeX is an estimate with its interval, not four digits."""
    run = runs.load(REFERENCE)
    text = FORMATS["markdown"](run, ["variant", "latency_us", "ratio_hi"])
    assert text.splitlines()[2] == "| ge_theta_minus(extent=2) | 1430 ± 40 | 3.1 |"
    assert r"ge\_theta\_minus(extent=2) & 1430 $\pm$ 40 \\" in FORMATS["latex"](
        run, ["variant", "latency_us"]
    )


def test_latex_has_a_table_for_each_shape() -> None:
    """With booktabs' rules, a label, a caption that names machine and method, the best in bold."""
    text = FORMATS["latex"](runs.load(REFERENCE), [])
    assert text.count(r"\begin{table*}") == text.count(r"\bottomrule") == 4
    assert r"\label{tab:ge-extents-8-256-56-56}" in text
    assert "AMD EPYC" in text
    assert "95 \\% confidence intervals" in text
    assert r"ge\_theta\_minus & global & \textbf{0.79 $\pm$ 0.03} & 1.63" in text


def test_a_latex_table_of_chosen_columns_is_in_words() -> None:
    """Headings are words with units, few columns fit one column, and the caption has the shape."""
    run = runs.load(REFERENCE)
    some = replace(run, rows=tuple(row for row in run.rows if row.channels == 256))
    text = FORMATS["latex"](some, ["module", "latency_us", "macs"])
    assert r"\begin{table}" in text
    assert r"module & latency ($\mu$s) & MACs \\" in text
    assert r", at 8$\times$256$\times$56$\times$56." in text


def test_hostile_words_are_letters_in_latex() -> None:
    """No name of a module is a command of LaTeX."""
    assert latex(r"\input{/etc/passwd} a_b$ #1 100% {x}~^") == (
        r"\textbackslash{}input\{/etc/passwd\} a\_b\$ \#1 100\% \{x\}"
        r"\textasciitilde{}\textasciicircum{}"
    )
    assert latex("[1cm]*--注") == r"{[}1cm{]}{*}-{}-\textbackslash{}u6ce8"


def test_a_shape_without_a_winner_still_counts() -> None:
    """A shape at which nothing was measured is one of the shapes of the answer."""
    lost = row("a", 200, 8, height=7, status="failed", latency_us=None, ratio=None)
    assert answer(*TIED[:4], lost).sentences == (
        "a is the fastest at 2 of 3 shapes; b takes 1.05 to 1.50 times as long.",
    )
    assert answer(*TIED[:2], lost).sentences[0].startswith("a is the fastest at 8×256×56×56;")


def test_a_part_of_a_shape_has_no_winner() -> None:
    """After `--where` has left out a row, the fastest of the rest is not called the fastest."""
    run = StoredRun(Path("nowhere"), INFO, TIED)
    assert find_answer(run.select(TIED[1:2])) is None
    found = find_answer(run.select(TIED[:2]))
    assert found is not None
    assert found.sentences[0].startswith("a is the fastest; b takes 1.50")


def test_headings_of_a_kept_answer_are_letters(tmp_path: Path) -> None:
    """Markdown escapes them as it escapes cells."""
    folder = tmp_path / "run"
    shutil.copytree(REFERENCE, folder)
    kept = {"question": "q", "reasons": ["r"], "to_decide": [], "limits": [], "chosen": None}
    table = {"headings": ["<b>|x"], "lines": [["1"]], "legend": []}
    answer_ = {"schema": 1, "kind": "recommend", "candidates": [], **kept, "table": table}
    (folder / "answer.json").write_text(json.dumps(answer_), encoding="utf-8")
    assert r"| &lt;b&gt;\|x |" in FORMATS["markdown"](runs.load(folder), [])


def test_without_the_fastest_nobody_is_named() -> None:
    """Rows of which the fastest was filtered out have no winner, and no table breaks."""
    assert find_answer(StoredRun(Path("nowhere"), INFO, [TIED[1], TIED[3]])) is None
    text = FORMATS["markdown"](StoredRun(Path("nowhere"), INFO, [TIED[1]]), [])
    assert "| b |" in text


def test_an_unclear_case_may_be_the_fastest() -> None:
    """A case that may be as fast as the fastest shares its place, although it has no figure."""
    unclear = row("c", 0, 0, latency_us=None, ratio=None, status="unclear", **over(None, 0.7, 1.5))
    assert answer(*TIED[:2], unclear).sentences == (
        "a and c cannot be told apart: they are the fastest.",
    )


def test_a_range_is_of_all_shapes_or_not_told() -> None:
    """A module that was measured at some of the shapes only is not in the sentence."""
    found = answer(*TIED[:4], replace(TIED[1], module="c", variant="c"))
    assert found.sentences == (
        "a is the fastest at both shapes; b takes 1.05 to 1.50 times as long.",
    )


@pytest.mark.parametrize("content", ["{", "", "[]", '{"schema": 1, "question": 3}'])
def test_a_damaged_answer_is_named(tmp_path: Path, content: str) -> None:
    """It is one line with the file, and not a run without an answer."""
    (tmp_path / "answer.json").write_text(content)
    with pytest.raises(RequestError, match=r"answer\.json: "):
        find_answer(StoredRun(tmp_path, INFO, TIED))
