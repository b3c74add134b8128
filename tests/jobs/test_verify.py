"""`verify`: every fault comes out under its own check, and costs nobody else's row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes import dies, hangs
from inside import RealFacts, inside, steady
from program import DATA, ROOT, Cli, program

from attn_bench.catalog.registry import Entry
from attn_bench.jobs.verify import USUAL, subjects_of
from attn_bench.model.case import Variant
from attn_bench.model.checks import CHECKS
from attn_bench.model.protocol import Message, Verify

BAD = (
    "good,bad_constructor,bad_forward,bad_backward,other_shape,not_a_number,in_place,through_data,"
    "no_tensor,crash,too_large,greedy,identity"
)
NONCONFORMING = {
    "depends_on_the_batch": {"rows": "row 0 alone: differs by"},
    "random_in_evaluation": {"repeats": "another result the second time"},
    "wider_dtype": {"bfloat16": "bfloat16: returned torch.float32, not torch.bfloat16"},
    "detached": {"gradients": "gives the slope"},
    "unused_weight": {"gradients": "backward: no gradient reaches gain"},
    "branches_on_values": {"compiles": "compile: ", "exports": "export: "},
    "reads_storage": {"channels_last": "channels_last: differs by"},
    "forgets_a_weight": {"state": "loaded from its state dict: differs by"},
    "even_maps_only": {"odd_sizes": "returned shape (2, 64, 14, 12), not the input's (2, 64, 15"},
    "another_formula": {"agrees": "against its reference at 16×16: differs by 0.005"},
    "any_extent(extent=6)": {"refuses": "constructor: silently accepts invalid arguments"},
}
GLOBAL_LEARNED = ("(extra_params=True)", "(extra_params=True, use_mlp=False)")


@dataclass(frozen=True)
class Verified:
    """A finished `verify`, and its matrix: variant -> check -> verdict and reason."""

    process: subprocess.CompletedProcess[str]
    matrix: dict[str, dict[str, dict[str, Any]]]

    def failed(self, variant: str) -> dict[str, str]:
        checks = self.matrix[variant].items()
        return {name: found["reason"] for name, found in checks if found["verdict"] == "failed"}


def verified(folder: Path, *words: str, by: Cli = inside) -> Verified:
    done = by("verify", *words, "--json", "matrix.json", cwd=folder)
    content = json.loads((folder / "matrix.json").read_text())
    assert content["exit_status"] == done.returncode
    return Verified(done, {row["variant"]: row["checks"] for row in content["rows"]})


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """The modules of data/bad_modules.py, and a built-in after them, through real processes."""
    words = ("--modules-from", str(DATA / "bad_modules.py"), "--timeout", "6", "--memory", "1.5")
    return verified(tmp_path_factory.mktemp("bad"), BAD, *words, by=program)


@pytest.fixture(scope="module")
def nonconforming(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """The modules of data/nonconforming.py."""
    glob = ",".join(["faultless", *(name.partition("(")[0] for name in NONCONFORMING)])
    words = ("--modules-from", str(DATA / "nonconforming.py"))
    return verified(tmp_path_factory.mktemp("nonconforming"), glob, *words)


@pytest.fixture(scope="module")
def both_ge(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """timm's GatherExcite, made buildable, and ours, with the same sets of arguments."""
    words = ("--modules-from", str(DATA / "nonconforming.py"))
    return verified(tmp_path_factory.mktemp("both_ge"), "*_ge", *words)


@pytest.mark.parametrize(
    ("module", "check", "reason"),
    [
        ("bad_constructor", "builds", "constructor: ValueError: no such width (bad_modules.py:"),
        ("bad_forward", "forward", "forward: RuntimeError: forward is broken (bad_modules.py:"),
        ("bad_backward", "gradients", "backward: RuntimeError: backward is broken"),
        ("other_shape", "forward", "returned shape (2, 64, 1, 1), not the input's (2, 64, 16, 16)"),
        ("not_a_number", "forward", "returned NaN or infinity for a finite input"),
        ("in_place", "input", "forward: changed its input in place"),
        ("through_data", "input", "forward: changed its input in place"),
        ("no_tensor", "forward", "returned tuple, not a tensor"),
        ("too_large", "forward", "can't allocate memory"),
        ("greedy", "forward", "can't allocate memory"),
    ],
)
def test_each_fault_is_found_by_its_check(
    bad: Verified, module: str, check: str, reason: str
) -> None:
    """The check that the fault belongs to fails, and says what happened in one line."""
    found = bad.failed(module)
    assert reason in found[check]
    assert "\n" not in found[check]


def test_one_cause_is_told_once(bad: Verified) -> None:
    """What fails because the module writes to its input is named behind that cause."""
    failed = [check for check in bad.matrix["through_data"].items() if check[1]["reason"]]
    assert {found["follows"] for check, found in failed if check not in ("input", "agrees")} == {
        "input"
    }
    line = "    through_data (and so channels_last, gradients, rows, repeats, state,"
    assert line in bad.process.stdout


def test_another_module_needs_no_names_of_ours(cli: Cli, tmp_path: Path) -> None:
    """A built-in's formula is computed with the tensors of an SE whose names differ."""
    (tmp_path / "another.py").write_text(
        "from foreign_modules import LinearSE\n"
        "from attn_bench import register\n"
        "formula = 'attn_bench.modules.formulas.squeeze:se'\n"
        "def build(channels, fault=''):\n"
        "    return LinearSE(16, channels, fault)\n"
        "register('right', reference=formula)(build)\n"
        "register('wrong', reference=formula, arguments={'fault': 'twice'})(build)\n"
        "def asks(x, state):\n"
        "    return x * state['gain']\n"
        "register('asks', reference=asks)(build)\n"
    )
    words = ("right,wrong,asks", "--modules-from", "another.py")
    (tmp_path / "foreign_modules.py").write_text((DATA / "foreign_modules.py").read_text())
    found = verified(tmp_path, *words, by=cli)
    assert found.failed("right") == {}
    assert found.failed("wrong") == {"agrees": "against se: the sigmoid is applied twice"}
    assert "asks for 'gain'" in found.failed("asks")["agrees"]


def test_a_refused_size_is_no_failure(cli: Cli, tmp_path: Path) -> None:
    """A module that raises for maps of 15×13 agrees with its reference, and odd_sizes is –."""
    (tmp_path / "square.py").write_text(
        "from torch import nn\n"
        "from attn_bench import register\n"
        "class Square(nn.Module):\n"
        "    def __init__(self, channels):\n"
        "        super().__init__()\n"
        "    def forward(self, x):\n"
        "        return x + x.transpose(2, 3)\n"
        "def formula(x, state):\n"
        "    return x + x.transpose(2, 3)\n"
        "register('square', reference=formula)(Square)\n"
    )
    found = verified(tmp_path, "square", "--modules-from", "square.py", by=cli)
    assert found.failed("square") == {}
    assert found.matrix["square"]["odd_sizes"]["verdict"] == "not_applicable"
    assert found.matrix["square"]["agrees"]["verdict"] == "passed"


def test_a_crash_costs_one_row(bad: Verified) -> None:
    """A module that crashes its process is `lost`, and the built-in after it is verified."""
    lost = [check for check in bad.matrix["crash"].values() if check["verdict"] == "lost"]
    assert len(lost) == 1
    assert "killed by SIGSEGV" in lost[0]["reason"]
    assert {check["verdict"] for check in bad.matrix["identity"].values()} == {"passed"}


def test_a_module_that_prints_is_good_but_for_compiling(bad: Verified) -> None:
    """Printing breaks the graph, which is told by its name; all else passes. The status is 1."""
    assert bad.process.returncode == 1
    assert bad.failed("good").keys() == {"compiles"}
    assert "print" in bad.failed("good")["compiles"]
    assert bad.matrix["good"].keys() == set(USUAL)


@pytest.mark.parametrize("variant", NONCONFORMING)
def test_a_broken_rule_is_named(nonconforming: Verified, variant: str) -> None:
    """The rule that the module breaks fails, no other does, and the reason says how."""
    found, expected = nonconforming.failed(variant), NONCONFORMING[variant]
    assert found.keys() == expected.keys()
    assert all(reason in found[check] for check, reason in expected.items())


def test_what_breaks_no_rule_passes_all(nonconforming: Verified) -> None:
    """A module with a reference passes every check; none is left out."""
    faultless = nonconforming.matrix["faultless"]
    assert {check["verdict"] for check in faultless.values()} == {"passed"}
    assert faultless.keys() == set(USUAL)


def test_the_faults_of_the_listing_come_out_by_themselves(both_ge: Verified) -> None:
    """timm's own GatherExcite, made buildable: its padded global gather differs from the paper's,
    extents 6, 10 and 12 are taken silently, and its default is told to be SE."""
    faulty = {
        variant: both_ge.failed(variant).keys()
        for variant in both_ge.matrix
        if variant.startswith("listing_ge") and both_ge.failed(variant)
    }
    assert faulty == {
        **{f"listing_ge{arguments}": {"agrees"} for arguments in GLOBAL_LEARNED},
        **{
            f"listing_ge(extent={extent}, extra_params=True, use_mlp=False)": {"refuses"}
            for extent in (6, 10, 12)
        },
    }
    remark = both_ge.matrix["listing_ge"]["agrees"]["reason"]
    assert remark == "this is Squeeze-and-Excitation, not Gather-Excite"


def test_our_gather_excite_has_none_of_them(both_ge: Verified) -> None:
    """With the same sets of arguments ours passes every check, and refuses what it has to."""
    ours = [variant for variant in both_ge.matrix if variant.startswith("our_ge")]
    assert len(ours) == 11
    assert [variant for variant in ours if both_ge.failed(variant)] == []


def test_the_matrix_can_be_read(bad: Verified, both_ge: Verified) -> None:
    """Rows fit into 100 columns, each check that ran has a column, each fault its variant below."""
    for done in (bad, both_ge):
        matrix, _, reasons = done.process.stdout.partition("\n\n")
        lines = matrix.splitlines()
        assert max(map(len, lines)) <= 100
        done_checks = [c for c in CHECKS if any(c in found for found in done.matrix.values())]
        assert [line.split()[-1] for line in lines[: len(done_checks)]] == done_checks
        assert [line.partition("  ")[0] for line in lines[len(done_checks) :]] == list(done.matrix)
        for variant in done.matrix:
            for check, reason in done.failed(variant).items():
                said = reason.removeprefix(f"{check}: ")
                _, _, members = reasons.partition(f"failed: {check}: {said}\n")
                is_cause = done.matrix[variant][check]["follows"] is None
                assert not is_cause or f"    {variant}" in members
                assert is_cause or f"    {variant}\n" not in members.partition("failed:")[0]


def test_signs_survive_where_there_is_only_ascii(cli: Cli) -> None:
    """Passed, failed and not applicable are three different signs in ASCII, too."""
    done = cli("verify", "timm/lambda,timm/ge", PYTHONIOENCODING="ascii")
    assert "timm/lambda  " in done.stdout
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("timm/lambda  "))
    assert set(row.split()[1:]) == {"+", "x", "-"}


@pytest.mark.parametrize(
    ("how", "reason"), [(dies, "killed by SIGKILL"), (hangs, "no answer in time")]
)
def test_a_lost_worker_alone_is_status_3(
    cli: Cli, tmp_path: Path, how: Callable[[], BaseException], reason: str
) -> None:
    """A worker that dies or hangs costs its module's row alone; where no check fails that is 3."""

    def lose(message: Message) -> BaseException | None:
        return how() if message == Verify(Variant("se"), "forward") else None

    words = ("se,identity", "--json", "matrix.json")
    done = cli("verify", *words, script=RealFacts(steady, instead=lose))
    assert done.returncode == 3
    rows = json.loads((tmp_path / "matrix.json").read_text())["rows"]
    checks = {row["variant"]: row["checks"] for row in rows}
    assert list(checks["se"]) == ["builds", "forward"]
    assert checks["se"]["forward"]["verdict"] == "lost"
    assert reason in checks["se"]["forward"]["reason"]
    assert {check["verdict"] for check in checks["identity"].values()} == {"passed"}


def test_all_good_is_status_0_and_no_torch(tmp_path: Path) -> None:
    """A module that passes is status 0, and the user's process has loaded no torch."""
    script = """
import sys
from attn_bench.cli.main import main
status = main(["verify", "identity"])
assert not {"torch", "timm", "pandas"} & set(sys.modules)
sys.exit(status)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ge_teta"], "verify ge_teta: matches no module (did you mean 'ge_theta'?)"),
        (["se", "--modules-from", "no.py"], "--modules-from no.py: file not found"),
        (["se", "--json", "no/such/file"], "no/such/file: cannot be written"),
        (["se", "--device", "tpu"], "--device"),
    ],
)
def test_a_wrong_request_is_answered_in_a_line(cli: Cli, words: list[str], expected: str) -> None:
    """Status 2, one line, no traceback."""
    done = cli("verify", *words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_shows_what_was_verified(cli: Cli, tmp_path: Path) -> None:
    """Status 130, with the rows that were done, and no worker left open."""

    def interrupt(message: Message) -> None:
        if message == Verify(Variant("se"), "forward"):
            signal.raise_signal(signal.SIGINT)

    script = RealFacts(steady, instead=interrupt)
    done = cli("verify", "se,identity", "--json", "matrix.json", script=script)
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    content = json.loads((tmp_path / "matrix.json").read_text())
    assert content["state"] == "interrupted"
    first, second = content["rows"]
    assert first["checks"].keys() == set(USUAL)
    assert second["checks"].keys() == {"builds"}
    assert f"{first['variant']}  " in done.stdout
    assert all(worker.is_ended for worker in script.workers)


@pytest.mark.parametrize(
    ("extents", "expected"),
    [
        (None, [None]),
        ((2, "global"), [2, "global"]),
        ("any", [2, 3, 4, "global"]),
        ("power_of_two", [2, 4, 8, "global", 6]),
    ],
)
def test_every_extent_has_a_row(extents: Any, expected: list[Any]) -> None:
    """All that are listed, some of a rule, and 6 where only powers of two are to be taken."""
    rows = list(subjects_of(Entry("m", extents)))
    assert [row.variant.extent for row in rows] == expected
    assert [row.checks for row in rows if row.variant.extent == 6] in ([], [("refuses",)])
