"""`recommend` for other networks: the user's own, those with attention, single stages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from inside import RealFacts, steady
from program import DATA, Cli

from attn_bench.model.case import Case

WORDS = ("--device", "cpu", "--threads", "1", "--budget", "6", "--input", "64")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(DATA / "my_net.py", tmp_path)
    return tmp_path


def answer(cli: Cli, folder: Path, *words: str, status: int = 0, **more: Any) -> dict[str, Any]:
    done = cli("recommend", *WORDS, *words, "--json", "answer.json", **more)
    assert done.returncode == status, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    return found | {"said": done.stdout}


def places(found: dict[str, Any]) -> dict[str, str]:
    return {c["row"]["variant"]: c["row"]["place"] for c in found["candidates"]}


def test_a_network_of_the_users(cli: Cli, folder: Path) -> None:
    """A class in a file is a backbone: candidates go where their papers have them."""
    found = answer(
        cli, folder, "--backbone", "my_net.py:MyNet", "--modules", "se,bam,simam", status=0
    )
    assert places(found) == {"se": "block", "bam": "stage 1-3", "simam": "inner"}
    assert found["baseline"]["params"] == 2_760_010
    assert found["chosen"]
    assert "no published gain is known for my_net.py:MyNet" in found["said"]


def test_the_figures_of_a_users_network_belong_to_its_file(cli: Cli, folder: Path) -> None:
    """The same question measures nothing again, until the file of the network changes."""
    words = ("--backbone", "my_net.py:MyNet", "--modules", "se,timm/eca")
    answer(cli, folder, *words)
    assert sum(answer(cli, folder, *words)["reused"].values()) == 3
    file = folder / "my_net.py"
    file.write_text(file.read_text("utf-8").replace("nn.Linear(256, 10)", "nn.Linear(256, 20)"))
    changed = answer(cli, folder, *words)
    assert not changed["reused"]
    assert changed["baseline"]["params"] == 2_762_580


def test_a_network_without_residual_blocks(cli: Cli, folder: Path) -> None:
    """Where a network lacks the place of a paper, the module goes where the network has one."""
    found = answer(cli, folder, "--backbone", "my_net.py:Straight", "--modules", "se,bam")
    assert places(found) == {"se": "inner", "bam": "inner"}


def test_a_pattern_of_layers_is_a_place(cli: Cli, folder: Path) -> None:
    """`--place 'layer*.conv2'` puts a module after each of these layers."""
    words = ("--backbone", "my_net.py:MyNet", "--modules", "se", "--place", "layer[12].*.conv2")
    found = answer(cli, folder, *words)
    (se,) = found["candidates"]
    added = se["row"]["params"] - found["baseline"]["params"]
    assert added == 2 * sum(channels + channels // 16 + channels**2 // 8 for channels in (64, 128))


def test_each_stage_alone(cli: Cli, folder: Path) -> None:
    """`--search places` measures all stages together and each alone, and borrows no gain there."""
    words = ("--backbone", "my_net.py:MyNet", "--modules", "se", "--search", "places")
    found = answer(cli, folder, *words)
    assert {c["label"] for c in found["candidates"]} == {
        *("se", "se at block 1", "se at block 2", "se at block 3")
    }
    assert {c["label"] for c in found["candidates"] if c["gains"]} == {"se"}


def test_several_places_in_one_question(cli: Cli, folder: Path) -> None:
    """Each `--place` is a candidate's place."""
    words = (
        "--backbone",
        "resnet18",
        "--modules",
        "se",
        "--place",
        "block 3,4",
        "--place",
        "stage",
    )
    found = answer(cli, folder, *words)
    assert {c["row"]["place"] for c in found["candidates"]} == {"block 3,4", "stage"}


@pytest.mark.parametrize(("backbone", "number"), [("regnety_002", 13), ("my_net.py:Gated", 2)])
def test_attention_that_is_there_is_replaced(
    cli: Cli, folder: Path, backbone: str, number: int
) -> None:
    """Candidates take the place of built-in attention; no gain is borrowed, and it is kept."""
    words = ("--backbone", backbone, "--modules", "se,timm/eca")
    found = answer(cli, folder, *words)
    assert places(found) == {"se": "slot", "timm/eca": "slot", "none": "slot"}
    assert found["keeps_built_in"]
    assert found["chosen"] is None
    assert not any(c["gains"] for c in found["candidates"])
    assert f"Keep the {number} attention modules" in found["said"]
    none = next(c["row"] for c in found["candidates"] if c["label"] == "none")
    assert none["params"] < found["baseline"]["params"]


def faster_without(case: Case, session: int, round_: int) -> float:
    return steady(case, session, round_) * (0.5 if case.variant.module == "none" else 1.0)


def wide(case: Case, session: int, round_: int) -> float:
    return (0.5, 1.0, 2.0)[session % 3] * 1e-3 if not case.is_plain else 1e-3


def test_figures_too_wide_for_a_choice(cli: Cli, folder: Path) -> None:
    """Without a limit, candidates that are not known to ± 20 % are named; no figure is shown."""
    words = ("--backbone", "resnet18", "--modules", "se")
    found = answer(cli, folder, *words, status=4, script=RealFacts(wide))
    assert found["reasons"][0] == "No candidate is known to ± 20 %."
    assert "not known to ± 20 %: se" in found["said"]
    (line,) = (line for line in found["said"].splitlines() if line.startswith("  se "))
    assert line.split()[1] == "unclear"


def test_what_the_built_in_attention_costs(cli: Cli, folder: Path) -> None:
    """The answer states the change without it, and what is certainly faster in its place."""
    words = ("--backbone", "my_net.py:Gated", "--modules", "se")
    found = answer(cli, folder, *words, script=RealFacts(faster_without))
    assert "changes by -" in found["said"]
    assert "No candidate in their place is certainly faster." in found["said"]


def test_built_in_attention_beyond_a_limit_is_not_kept(cli: Cli, folder: Path) -> None:
    """If the network as it is breaks a limit, the fastest attention that keeps it is taken."""
    words = ("--backbone", "my_net.py:Gated", "--modules", "timm/eca", "--max-params", "0.95x")
    found = answer(cli, folder, *words)
    assert not found["keeps_built_in"]
    assert found["chosen"] == "timm/eca"


def half_known(case: Case, session: int, round_: int) -> float:
    """The plain network takes 1 ms; se some 10 % more, but not in each session alike."""
    more = 0.0 if case.is_plain else 0.08 + 0.04 * (session % 2)
    return (1 + more) * 1e-3 * steady(case, session, round_) / steady(case, 0, 0)


def test_the_answer_says_how_long_it_takes_to_decide(cli: Cli, folder: Path) -> None:
    """An open answer names the minutes that decide, and does not repeat the table below it."""
    words = ("--backbone", "resnet18", "--modules", "se", "--max-latency", "+8%")
    found = answer(cli, folder, *words, status=4, script=RealFacts(half_known))
    assert any("--minutes" in sentence for sentence in found["to_decide"]), found["to_decide"]
    assert found["said"].count("may or may not fit: se") == 1


def test_an_unclear_figure_is_not_measured_again_in_the_same_time(cli: Cli, folder: Path) -> None:
    """A candidate that stayed unclear is measured again only if there is more time for it."""
    words = ("--backbone", "resnet18", "--modules", "se", "--max-latency", "+8%")
    answer(cli, folder, *words, status=4, script=RealFacts(half_known))
    script = RealFacts(half_known)
    again = answer(cli, folder, *words, status=4, script=script)
    assert sum(again["reused"].values()) == 2
    assert not script.workers
    more = ("--backbone", "resnet18", "--modules", "se", "--max-latency", "+8%", "--budget", "9")
    assert sum(answer(cli, folder, *more, status=4, script=script)["reused"].values()) < 2


def test_a_plain_network_on_the_limit(cli: Cli, folder: Path) -> None:
    """A candidate on the limit is named: no time decides about it."""

    def seconds(case: Case, session: int, round_: int) -> float:
        more = 0.0 if case.is_plain else 0.0999 + 0.004 * (session % 2)
        return (1 + more) * 1e-3

    words = ("--backbone", "resnet18", "--modules", "se", "--max-latency", "+10%")
    found = answer(cli, folder, *words, status=4, script=RealFacts(seconds))
    assert found["to_decide"] == ["On the limit, where more time does not decide: se."]


def test_several_stages_and_batches(cli: Cli, folder: Path) -> None:
    """Each shape with each batch has an answer, with its latency in ms and as a share."""
    words = ("recommend", "--device", "cpu", "--threads", "1", "--budget", "6", "--modules", "se")
    words += ("--shape", "8x8x8,16x4x4", "--batch", "1,2", "--share-of", "80ms")
    done = cli(*words, "--json", "all.json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((folder / "all.json").read_text("utf-8"))["answers"]
    assert [each["question"].split(" at ")[1].split(",")[0] for each in found] == [
        *("1×8×8×8", "2×8×8×8", "1×16×4×4", "2×16×4×4")
    ]
    heading = next(line for line in done.stdout.splitlines() if line.startswith("candidate"))
    assert heading.split()[:5] == ["candidate", "ms", "share", "%", "latency"]


def test_modules_of_the_users_are_candidates(cli: Cli, folder: Path) -> None:
    """`--modules-from` alone makes a module a candidate beside those of the usual suite."""
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    words = ("--backbone", "resnet18", "--modules", "mine,se", "--modules-from", "mine.py")
    assert places(answer(cli, folder, *words)) == {"mine": "block", "se": "block"}


MINE = """\
import torch

from attn_bench import register


@register("mine")
class Mine(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x * x.mean((2, 3), keepdim=True).sigmoid()
"""


def test_the_page_opens_with_the_answer(cli: Cli, folder: Path) -> None:
    """The page of a run of `recommend` states the question and the reasons above the warnings."""
    found = answer(cli, folder, "--backbone", "resnet18", "--modules", "se")
    (run,) = (folder / "results").glob("*recommend*")
    assert cli("report", str(run)).returncode == 0
    page = (run / "report.html").read_text("utf-8")
    assert page.index('class="answer"') < page.index("<nav")
    assert found["reasons"][0].replace("'", "&#39;") in page
    shown = cli("show", str(run)).stdout
    assert found["reasons"][0] in " ".join(shown.split())
    assert " ".join(found["table"]["legend"][-1].split()) in " ".join(shown.split())
    (run / "answer.json").write_text('{"schema": 1, "question": 3}', encoding="utf-8")
    damaged = cli("report", str(run))
    assert damaged.returncode == 2
    assert "answer.json: " in damaged.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("resnet18", "--modules", "se,nope"), "--modules 'nope' matches no module"),
        (("resnet18", "--share-of", "80ms"), "--share-of needs --shape"),
        (("resnet18", "--batch", "0"), "--batch '0': must be a whole number"),
        (("resnet18", "--batch", "1,2", "--out", "x"), "--out is the folder of one run"),
        (("my_net.py:MyNt",), "my_net.py has no 'MyNt' (did you mean 'MyNet'?)"),
        (("my_ne.py:MyNet",), "--backbone my_ne.py: file not found (did you mean 'my_net.py'?)"),
        (("my_net.py",), "name the class or function in it (my_net.py:MyNet?)"),
        (("my_net.py:Block",), "missing 3 required positional arguments"),
        (("my_net.py:F",), "my_net.py:F is a module, not a class"),
        (("my_net.py:MyNet", "--place", "slot"), "has no attention slot (block, inner or stage?)"),
        (("my_net.py:MyNet", "--place", "block 4"), "has stages 1 to 3, not 4"),
        (("my_net.py:Straight", "--place", "block"), "has no residual blocks (inner or stage?)"),
        (
            ("my_net.py:MyNet", "--place", "layer*.cov2"),
            "--place 'layer*.cov2': no layer is called",
        ),
        (("resnet18", "--place", "layer*.cov2"), "no layer is called 'layer*.cov2'"),
        (("my_net.py:Block",), "my_net.py:Block called without arguments"),
        (("my_net.py:Dense",), "shows no spatial convolution of maps"),
        (("my_net.py:Dense", "--place", "inner"), "has no inner (a pattern of layers?)"),
        (("vit_tiny_patch16_224",), "unknown backbone 'vit_tiny_patch16_224'"),
        (("resnet18", "--minutes", "1"), "--minutes and --budget are the same"),
    ],
)
def test_bad_networks(cli: Cli, folder: Path, words: tuple[str, ...], said: str) -> None:
    """Each gets one line with the nearest right one, and status 2, before anything is measured."""
    done = cli("recommend", *WORDS, "--backbone", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_training_beside_inference(cli: Cli, folder: Path) -> None:
    """`--mode both` shows the cost of a training step, and keeps its limits, too."""
    words = ("--backbone", "resnet18", "--modules", "se,simam", "--mode", "both")
    found = answer(
        cli, folder, *words, "--max-training-latency", "1.2x", script=RealFacts(slow_step)
    )
    assert "training latency" in found["said"].replace("\n", " ")
    fits = {c["label"]: c["fits"] for c in found["candidates"]}
    assert fits == {"se": "yes", "simam": "no"}
    assert found["chosen"] == "se"
    assert {c["training"]["mode"] for c in found["candidates"]} == {"training"}
    assert {c["row"]["mode"] for c in found["candidates"]} == {"inference"}


def slow_step(case: Case, session: int, round_: int) -> float:
    """SimAM costs more in training than in inference."""
    is_slow = case.variant.module == "simam" and case.mode == "training"
    return (1.5 if is_slow else 1.01) * 1e-3 * steady(case, session, round_) / steady(case, 0, 0)


def test_a_limit_of_training_needs_training(cli: Cli, folder: Path) -> None:
    """`--max-training-latency` without `--mode both` is a wrong request."""
    done = cli("recommend", "--backbone", "resnet18", "--max-training-latency", "+10%")
    assert done.returncode == 2
    assert "--max-training-latency needs --mode both" in done.stderr
